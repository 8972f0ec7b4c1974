"""Orders: the requests of customers, and what follows each change of an order."""
