"""The handler of `efs-function`: a journal on a shared file system, and a model that is loaded once."""
