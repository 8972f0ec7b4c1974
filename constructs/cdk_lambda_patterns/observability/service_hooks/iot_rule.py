"""IoT topic → rule → Lambda."""
