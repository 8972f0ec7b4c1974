"""What a message says: an entry into the ledger of an account."""

import json
from dataclasses import dataclass


class NotAnEntry(ValueError):  # noqa: N818 - the name says it
    """The message can never be booked; the text says why."""


@dataclass(frozen=True)
class Entry:
    """An amount that is put into an account, or taken out of it.

    Args:
        entry_id: The sender's own name for it, the same each time it is sent.
        account: The account; messages of a FIFO queue are grouped by it.
        cents: Positive: put in. Negative: taken out.
    """

    entry_id: str
    account: str
    cents: int

    @classmethod
    def parse(cls, body: str) -> "Entry":
        """Read the body of a message.

        Raises:
            NotAnEntry: It is none.
        """
        try:
            document = json.loads(body)
        except ValueError:
            raise NotAnEntry("the body is not JSON") from None
        if not isinstance(document, dict):
            raise NotAnEntry("the body is not a JSON object")
        for name in ("entry_id", "account"):
            value = document.get(name)
            if not isinstance(value, str) or not 0 < len(value) <= 256:
                raise NotAnEntry(f"{name} must be a text of 1 to 256 characters")
        cents = document.get("cents")
        if not isinstance(cents, int) or isinstance(cents, bool) or not cents or abs(cents) > 10**15:
            raise NotAnEntry("cents must be a whole number other than 0, at most 10^15")
        return cls(document["entry_id"], document["account"], cents)
