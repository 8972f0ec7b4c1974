"""The handlers of `dynamodb-stream`: orders by customer, from the changes of a table, or rebuilt from it."""
