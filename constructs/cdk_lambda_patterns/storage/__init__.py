"""Object events: architectures that begin with an object in S3."""
