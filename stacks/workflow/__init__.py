"""Stacks of the family identity: user pools."""
