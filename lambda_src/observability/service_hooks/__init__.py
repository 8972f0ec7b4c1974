"""The functions of the service hooks: one module each."""
