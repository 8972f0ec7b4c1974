"""The handler of `scratch-space`: reports on large files, cached in /tmp, resumed from checkpoints."""
