"""Stacks of the family web: synchronous invocation over HTTP."""
