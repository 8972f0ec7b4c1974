"""Services that invoke functions, each with an answer of its own: one small construct each."""

__all__: list[str] = []
