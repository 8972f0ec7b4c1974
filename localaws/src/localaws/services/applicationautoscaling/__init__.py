"""Application Auto Scaling."""
