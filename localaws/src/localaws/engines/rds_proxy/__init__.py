"""RDS Proxy for PostgreSQL, as far as AWS documents its behaviour.

`proxy` is the entry point; `login` authenticates clients, `session` serves one, `pool` shares the connections
to the database, and `pinning` finds the statements that pin a session. The proxy reads settings, secrets and
permissions from its `Control` each time it needs them.

Faithful to:
- TLS with the client, required or not; an IAM token as password, only over TLS; passwords with SCRAM-SHA-256;
  the credentials of the database from secrets.
- Multiplexing by transaction, of the simple and the extended protocol; pinning; the limit of connections, and
  the error after the borrow timeout; the initialization query; closing of idle clients.
- During a restart of the database, idle clients keep their connection, and waiting ones are served when it is
  back. Clients in a transaction, and pinned ones, are disconnected.
- Documented errors, and what the documentation lists as not supported (command-line options, replication,
  cancelling).
Not to: TLS with the database, which the proxy reaches through a Unix socket. Read-only endpoints lead to the
same server. Idle database connections are not closed, whatever `MaxIdleConnectionsPercent` says. A named
prepared statement of the extended protocol pins, which AWS does not promise. After the borrow timeout, and
after the idle timeout, the connection of the client is closed.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.howitworks.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.troubleshooting.html
"""
