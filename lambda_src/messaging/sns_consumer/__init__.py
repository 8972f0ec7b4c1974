"""The handler of `sns-consumer`: notices that a topic publishes, stored once each."""
