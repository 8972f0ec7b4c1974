"""AWS Config: custom rules and the results of their functions."""
