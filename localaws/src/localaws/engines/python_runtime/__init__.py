"""Runs Python functions in processes of their own, as Lambda's Python runtimes do."""
