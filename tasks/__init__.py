"""The tasks of run.py: modules that run inside the environment that run.py makes.

`environment`, `process`, `progress` and `errors` are what run.py itself is made of: they need the standard
library alone, because they run before anything is installed.
"""
