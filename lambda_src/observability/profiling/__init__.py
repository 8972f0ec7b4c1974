"""Spelling suggestions, profiled: the handler of `profiling`."""
