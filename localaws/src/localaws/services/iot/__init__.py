"""AWS IoT Core."""
