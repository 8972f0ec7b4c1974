"""Amazon Data Firehose: buffers, transformation by functions, and what is delivered to Amazon S3."""
