"""The pictures of the architectures: what each shows, and how that is drawn."""
