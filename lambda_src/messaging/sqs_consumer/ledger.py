"""The ledger in DynamoDB: each entry is booked once, and no account is ever overdrawn."""

from typing import Any

from shared.transactions import CONDITION, transact

from .entries import Entry


class Overdrawn(Exception):
    """The balance is too low for the withdrawal. It may be enough once an earlier deposit arrives."""


class Contradiction(Exception):
    """An entry of this id has other cents. Either of them may be right, so its sender has to say which."""


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
            seconds: How long to try while other transactions write the same account.

        Raises:
            Contradiction: Another entry of this id is in the ledger.
            Overdrawn: The balance is too low now.
            TimeoutError: Other transactions wrote the account all the time.
        """
        refused = transact(self._client, [self._entry(entry), self._balance(entry)], seconds)
        if not refused:
            return True
        by_entry = refused[0]
        if by_entry.get("Code") == CONDITION:
            held = int(by_entry["Item"]["cents"]["N"])
            if held != entry.cents:
                raise Contradiction(
                    f"entry {entry.entry_id!r} is booked with {held} cents, not {entry.cents}"
                )
            return False
        raise Overdrawn(f"a withdrawal of {-entry.cents} cents exceeds the balance")

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
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
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
