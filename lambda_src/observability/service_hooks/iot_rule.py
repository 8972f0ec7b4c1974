"""Takes messages from an IoT rule."""
