"""The tasks of run.py: modules that run inside the environment that run.py makes.

`environment`, `errors`, `locking`, `process` and `progress` are what run.py itself is made of: they need the standard
library alone, because they run before anything is installed.
"""
