"""The handler of `cross-account-code`."""
