"""API → order → queue → table, in one trace."""
