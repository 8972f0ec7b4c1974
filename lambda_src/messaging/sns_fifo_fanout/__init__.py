"""The handlers of `sns-fifo-fanout`: a bridge from Kinesis to SNS, an event store and a read model."""
