"""Scenarios of the family events: schedules and buses."""
