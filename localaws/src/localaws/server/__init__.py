"""The process that is the embedded AWS, and everything with which it is started, reached and stopped."""
