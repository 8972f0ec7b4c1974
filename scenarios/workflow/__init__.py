"""Scenarios of the family identity: user pools."""
