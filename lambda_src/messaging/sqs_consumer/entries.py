"""The content of a message: an entry in the ledger of an account."""

from dataclasses import dataclass

from shared.storable import NotStorable, check_text, load_json

# The key of an entry is `entry#` and its id; DynamoDB allows 1,024 bytes.
_MAX_BYTES = 1_024 - len("entry#")


class NotAnEntry(ValueError):
    """The message can never be booked; the text gives the reason."""


@dataclass(frozen=True)
class Entry:
    """A deposit into an account, or a withdrawal from it.

    Args:
        entry_id: The sender's id of the entry, the same each time it is sent.
        account: The account; messages of a FIFO queue are grouped by it.
        cents: Positive: a deposit. Negative: a withdrawal.
    """

    entry_id: str
    account: str
    cents: int

    @classmethod
    def parse(cls, body: str) -> "Entry":
        """Read the body of a message.

        Raises:
            NotAnEntry: It is not an entry; the text gives the reason.
        """
        try:
            document = load_json(body)
            if not isinstance(document, dict):
                raise NotAnEntry("the body is not a JSON object")
            for name in ("entry_id", "account"):
                check_text(name, document.get(name), max_characters=256, max_bytes=_MAX_BYTES)
        except NotStorable as reason:
            raise NotAnEntry(f"the body: {reason}") from None
        cents = document.get("cents")
        if not isinstance(cents, int) or isinstance(cents, bool) or not cents or abs(cents) > 10**15:
            raise NotAnEntry("cents must be a whole number other than 0, at most 10^15")
        return cls(document["entry_id"], document["account"], cents)
