"""What a message says, from a publisher or from S3, and the table of notices."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_plus

from shared.storable import NotStorable, check_text, load_json


class NotANotice(ValueError):
    """The message can never be stored; the text gives the reason."""


def texts_of(message: str) -> list[str]:
    """Return what a message says: its text, or a line for each object that S3 reports.

    S3 sends a test event when its notifications are configured; it says nothing.

    Raises:
        NotANotice: It is neither.
    """
    try:
        document = load_json(message)
        if not isinstance(document, dict):
            raise NotANotice("the message is not a JSON object")
        if document.get("Event") == "s3:TestEvent":
            return []
        if "Records" in document:
            return [f"uploaded {unquote_plus(one['s3']['object']['key'])}" for one in document["Records"]]
        return [check_text("text", document.get("text"), max_characters=10_000, max_bytes=40_000)]
    except NotStorable as reason:
        raise NotANotice(f"the message: {reason}") from None
    except (KeyError, TypeError, AttributeError):
        raise NotANotice("the message has Records that are not those of S3") from None


class Notices:
    """Stores notices.

    Args:
        client: A DynamoDB client.
        table: Partition key ``consumer``, sort key ``message_id``.
        consumer: Which consumer stores them.
    """

    def __init__(self, client: Any, table: str, consumer: str) -> None:
        self._client, self._table, self._consumer = client, table, consumer

    def store(self, message_id: str, texts: Sequence[str]) -> bool:
        """Store what a message says unless it is stored; return whether it is new."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    "consumer": {"S": self._consumer},
                    "message_id": {"S": message_id},
                    "texts": {"L": [{"S": text} for text in texts]},
                },
                ConditionExpression="attribute_not_exists(message_id)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
