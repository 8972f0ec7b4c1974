"""A small shop, whose functions, queue, stream and API are monitored."""
