"""The ledger in DynamoDB: each entry is booked once, and no account is ever overdrawn."""

from typing import Any

from entries import Entry

_CONDITION = "ConditionalCheckFailed"


class Overdrawn(Exception):  # noqa: N818 - the name says it
    """The account does not hold what is to be taken out. It may, once an entry that is on its way arrives."""


class Ledger:
    """Books entries.

    An item for each entry and one for each account share the partition of the account, and a transaction
    writes both or none. That an entry is there already is how a message that comes twice is recognised,
    however much later, and by whomever it was sent again.

    Args:
        client: A DynamoDB client.
        table: Partition key ``account``, sort key ``item``.
    """

    def __init__(self, client: Any, table: str) -> None:  # noqa: ANN401 - boto3 makes its clients at run time
        self._client = client
        self._table = table

    def book(self, entry: Entry) -> bool:
        """Book an entry, unless that was done before; returns whether it was new.

        Raises:
            Overdrawn: The account does not hold that much now.
        """
        try:
            self._client.transact_write_items(TransactItems=[self._entry(entry), self._balance(entry)])
        except self._client.exceptions.TransactionCanceledException as error:
            by_entry, by_balance = (reason.get("Code") for reason in error.response["CancellationReasons"])
            if by_entry == _CONDITION:
                return False
            if by_balance == _CONDITION:
                raise Overdrawn(f"{-entry.cents} cents are more than the account holds") from error
            raise  # a conflict with another transaction, or throttling: worth another try
        return True

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
