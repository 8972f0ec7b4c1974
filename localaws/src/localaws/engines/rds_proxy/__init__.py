"""A model of RDS Proxy for PostgreSQL: the smallest that does what AWS documents of it.

`proxy` is the whole; `login` admits clients, `session` serves one, `pool` shares the connections to the
database, `pinning` tells which statements bind a session to one of them. What the proxy must know of its
account (settings, secrets, who may log in) it asks its `Control`, at the time when it needs it.

Faithful to: TLS towards the client, required or not; an IAM token as password, over TLS only; passwords by
SCRAM-SHA-256; the database's credentials from secrets; multiplexing by transaction, of the simple and the
extended protocol; pinning; the limit of connections, and the error of who waits too long for one; an
initialisation query; idle clients that are closed; during a restart of the database idle clients keep their
connection and those that wait are served when it is back, while those in a transaction, or pinned, are cut
off; documented errors, and what the documentation says is not supported (command-line options, replication,
cancelling).
Not to: TLS towards the database, which the proxy reaches through a Unix socket. Read-only endpoints lead to
the same server. Database connections that are idle for long are kept, whatever `MaxIdleConnectionsPercent`
says. A named prepared statement of the extended protocol pins, which AWS does not promise. After the borrow
timeout, and when it was idle for too long, the client's connection is closed.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.howitworks.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.troubleshooting.html
"""
