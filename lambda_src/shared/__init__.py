"""What handlers of this library have in common: copied into the code of each function that imports it."""
