"""The handler of `kinesis-consumer`: a summary of each device's readings."""
