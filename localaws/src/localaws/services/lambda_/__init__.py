"""AWS Lambda: functions, versions and aliases, invocation, event source mappings."""
