"""The handlers of `metadata-sync`: one for the bucket's events, one to compare all objects with all rows."""
