"""The handler of `batch-operation`: writes the rows of `metadata-sync` for objects that were there before."""
