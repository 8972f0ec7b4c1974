"""The tasks of run.py: modules that run inside the environment that run.py makes.

run.py itself is made of `environment`, `errors`, `locking`, `process` and `progress`: they need the standard
library only, because they run before anything is installed.
"""
