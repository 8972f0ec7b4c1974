"""Identity: architectures in which functions decide who signs up and what tokens say."""
