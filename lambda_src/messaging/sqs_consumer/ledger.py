"""The ledger in DynamoDB: each entry is booked once, and no account is ever overdrawn."""

from typing import Any

from shared.shares import attempts

from .entries import Entry

_CONDITION = "ConditionalCheckFailed"
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_RETRIED = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


class Overdrawn(Exception):
    """The balance is too low for the withdrawal. It may be enough once an earlier deposit arrives."""


class Ledger:
    """Books entries.

    An item for each entry and one for the balance share the partition of the account, and a transaction
    writes both or none. A duplicate message is recognised because its entry exists already, however much
    later it arrives.

    Args:
        client: A DynamoDB client.
        table: Partition key ``account``, sort key ``item``.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def book(self, entry: Entry, seconds: float) -> bool:
        """Book an entry unless it exists already; return whether it was new.

        Args:
            entry: The entry.
            seconds: How long to try while other transactions write the same account. The SDK does not retry
                these, and a message that is returned costs one of its few attempts.

        Raises:
            Overdrawn: The balance is too low now.
        """
        conflict: Exception | None = None
        for _ in attempts(seconds):
            try:
                self._client.transact_write_items(TransactItems=[self._entry(entry), self._balance(entry)])
            except self._client.exceptions.TransactionCanceledException as error:
                reasons = [reason.get("Code") for reason in error.response["CancellationReasons"]]
                by_entry, by_balance = reasons
                if by_entry == _CONDITION:
                    return False
                if by_balance == _CONDITION:
                    raise Overdrawn(f"a withdrawal of {-entry.cents} cents exceeds the balance") from error
                if not _RETRIED.intersection(reasons):
                    raise
                conflict = error
            else:
                return True
        raise TimeoutError(f"other transactions wrote the account for {seconds:.1f} seconds") from conflict

    def _entry(self, entry: Entry) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table,
                "Item": {
                    "account": {"S": entry.account},
                    "item": {"S": f"entry#{entry.entry_id}"},
                    "cents": {"N": str(entry.cents)},
                },
                "ConditionExpression": "attribute_not_exists(account)",
            }
        }

    def _balance(self, entry: Entry) -> dict[str, Any]:
        values = {":cents": {"N": str(entry.cents)}, ":one": {"N": "1"}}
        update = {
            "TableName": self._table,
            "Key": {"account": {"S": entry.account}, "item": {"S": "balance"}},
            "UpdateExpression": "ADD cents :cents, entries :one",
            "ExpressionAttributeValues": values,
        }
        if entry.cents < 0:
            update["ConditionExpression"] = "cents >= :needed"
            values[":needed"] = {"N": str(-entry.cents)}
        return {"Update": update}
