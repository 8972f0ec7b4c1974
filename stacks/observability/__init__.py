"""Stacks of the family observability: alarms, traces, profiles and the remaining hooks."""
