"""The handler of `rds-proxy`: books amounts to accounts in PostgreSQL or MySQL, each request once."""
