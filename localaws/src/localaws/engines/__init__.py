"""Real programs and protocols behind emulated services: PostgreSQL, RDS Proxy, the functions' runtimes."""
