"""The functions of the image."""
