"""Which changes have had their mail: a row for each, written before the mail is sent.

=========  ================  =========================================================
the row    the mail          when the stream delivers the change again
=========  ================  =========================================================
none       was not sent      is sent
sending    unknown           is not sent: `InDoubt`, for a person to decide
sent       was sent          is not sent
=========  ================  =========================================================

SES has no token that makes a repeated SendEmail one mail. So a crash between the row and the answer of SES
leaves a doubt, and one side must be chosen. This is *at most once*: no subscriber is greeted twice.
"""

import time
from typing import Any

from shared.clients import Client
from shared.failures import PermanentFailure

# A stream delivers a change for a day at most, and the failure queue has it for 14 days.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
_REMEMBERED = 15 * 86_400  # seconds


class InDoubt(PermanentFailure):
    """An earlier attempt ended after its row was written: the mail was sent, or it was not."""


class Ledger:
    """The rows of changes.

    Args:
        dynamodb: A client of DynamoDB.
        table: The table, with the partition key ``change``.
    """

    def __init__(self, dynamodb: Client, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def claim(self, change: str, address: str) -> bool:
        """Write the row of a change that is about to be mailed; return False if it was mailed already.

        Raises:
            InDoubt: An earlier attempt did not say how it ended.
        """
        row = {"change": {"S": change}, "state": {"S": "sending"}, "address": {"S": address}}
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item=row,
                ConditionExpression="attribute_not_exists(change)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            before: dict[str, Any] = error.response["Item"]
            if before["state"]["S"] == "sent":
                return False
            raise InDoubt(
                f"change {change}: an earlier attempt ended while it was sending; find out whether the mail "
                "was sent: if so, set the state of its row to sent; if not, delete the row and redrive"
            ) from None
        return True

    def release(self, change: str) -> None:
        """Remove the row of a change whose mail was certainly not sent."""
        self._dynamodb.delete_item(TableName=self._table, Key={"change": {"S": change}})

    def close(self, change: str, message: str) -> None:
        """Note that the mail of a change was sent; the row expires after the change is gone everywhere."""
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"change": {"S": change}},
            UpdateExpression="SET #state = :sent, message = :message, forget_at = :then",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={
                ":sent": {"S": "sent"},
                ":message": {"S": message},
                ":then": {"N": str(int(time.time()) + _REMEMBERED)},
            },
        )
