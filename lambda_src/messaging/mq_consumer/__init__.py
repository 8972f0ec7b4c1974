"""The handler of `mq-consumer`: books the entries in messages of a broker."""
