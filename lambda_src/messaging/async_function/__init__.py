"""The handler of `async-function`: an order has one parcel, however often its event is delivered."""
