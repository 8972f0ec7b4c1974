"""A real PostgreSQL without a system package, and what is needed to speak its wire protocol.

`server` runs it, `wire` and `scram` are the protocol, `connection` is a client of it, `endpoint` gives it an
address with TLS on the loopback network. Nothing here knows AWS.
"""
