"""Amazon RDS, Aurora and RDS Proxy."""
