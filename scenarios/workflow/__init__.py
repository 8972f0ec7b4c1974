"""Scenarios of the family workflow: Step Functions."""
