"""The handlers of `order-services`: three services, none of which imports another."""
