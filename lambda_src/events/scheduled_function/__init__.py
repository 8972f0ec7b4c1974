"""The handler of `scheduled-function`: each scheduled time has one report, and no two runs overlap."""
