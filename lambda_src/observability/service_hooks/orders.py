"""Orders of coffee, which come from a Lex bot and from an Alexa skill."""

from .records import Records

SIZES = ("small", "medium", "large")


def order(records: Records, source: str, request_id: str, size: str) -> bool:
    """Take an order, and return whether it is new. The request id is the same if the service tries again."""
    return records.add(f"{source}#{request_id}", {"size": size})


def wrong_size(size: str) -> str:
    """What to say about a size that there is not."""
    return f"There is no {size[:40]} coffee. Would you like {', '.join(SIZES[:-1])} or {SIZES[-1]}?"


def thanks(size: str) -> str:
    """What to say about an order."""
    return f"One {size} coffee is on its way."


FAILED = "Sorry, your order could not be taken. Please try again later."
NOT_ORDERED = "All right, nothing was ordered."
