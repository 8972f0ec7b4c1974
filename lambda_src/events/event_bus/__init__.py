"""The handlers of `event-bus`: a shop publishes orders, and for each consumer an order counts once."""
