"""Databases and networks: architectures whose function reaches what is not public."""
