"""Scenarios of the family data: databases and networks."""
