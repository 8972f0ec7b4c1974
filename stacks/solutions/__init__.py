"""Stacks of the family solutions: whole applications, composed of the constructs of other families."""
