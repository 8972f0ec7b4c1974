"""The handler of `environments`: postage quotes that name the version and the environment they come from."""
