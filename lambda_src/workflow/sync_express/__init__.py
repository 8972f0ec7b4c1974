"""The functions of `sync-express`: the prices behind an API, and the reservation of stock."""
