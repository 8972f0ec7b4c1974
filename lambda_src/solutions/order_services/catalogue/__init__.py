"""The catalogue: products, and which order has reserved how many of them."""
