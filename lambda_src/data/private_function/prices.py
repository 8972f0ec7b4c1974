"""The price of an item: a function of its own, outside the network, that the orders function invokes."""


def handler(event: dict[str, str], _context: object) -> dict[str, int]:
    """Return the price of ``item`` in cents. A demonstration: the longer its name, the dearer it is."""
    return {"cents": 100 + 10 * len(event["item"])}
