"""The handler of `rds-events`: what RDS reports of databases, and what is done about it."""
