"""A PostgreSQL server without a system package, and its wire protocol.

`server` runs it, `wire` and `scram` implement the protocol, `connection` is a client, and `endpoint` is a TLS
address on the loopback network. Nothing here depends on AWS.
"""
