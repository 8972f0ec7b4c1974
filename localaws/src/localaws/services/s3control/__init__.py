"""Amazon S3 Batch Operations."""
