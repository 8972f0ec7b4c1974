"""Stacks of the family workflow: Step Functions."""
