"""The handler of `sqs-consumer`: a ledger that books each message once."""
