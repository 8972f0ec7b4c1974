"""Orders in PostgreSQL, whose triggers invoke a function, or leave a message in an outbox."""
