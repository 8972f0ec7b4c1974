"""A transaction in DynamoDB, tried again while other transactions write the same items."""

from collections.abc import Sequence
from typing import Any

from shared.shares import attempts

CONDITION = "ConditionalCheckFailed"
# The SDK does not retry these, and a record that is returned costs one of its few attempts.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_RETRIED = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


def transact(client: Any, items: Sequence[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    """Write all items or none; return why none was written, an entry for each item, or an empty list.

    Args:
        client: A client of DynamoDB.
        items: The items of TransactWriteItems.
        seconds: How long to try while other transactions write the same items.

    Raises:
        TimeoutError: They did for that long.
    """
    conflict: Exception | None = None
    for _ in attempts(seconds):
        try:
            client.transact_write_items(TransactItems=items)
        except client.exceptions.TransactionCanceledException as error:
            reasons: list[dict[str, Any]] = error.response["CancellationReasons"]
            codes = {reason.get("Code") for reason in reasons}
            if CONDITION in codes:
                return reasons
            if not codes & _RETRIED:
                raise
            conflict = error
        else:
            return []
    raise TimeoutError(f"other transactions wrote the same items for {seconds:.1f} seconds") from conflict
