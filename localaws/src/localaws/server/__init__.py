"""The server process of the embedded AWS: how it is started, reached, reset and stopped."""
