"""A custom resource: a row of a table that exists while its stack has it.

It shows what a function behind ``CustomResourceFunction`` may rely on, and must do: it returns the physical
id and raises exceptions, takes a request that comes twice, and deletes only what it has made itself.
"""

import logging
import os
from typing import Any

from shared.environment import name, read
from shared.startup import no_garbage_collection

with no_garbage_collection():
    from botocore.exceptions import ClientError

    from shared.clients import make_clients

    (_dynamodb,) = make_clients("dynamodb")

_TABLE = read(os.environ, "TABLE_NAME", name)

logger = logging.getLogger()
logger.setLevel(logging.INFO)


class RowExists(Exception):
    """Another resource has a row with this key, or a person has written it."""


def handler(event: dict[str, Any], _context: object) -> dict[str, Any] | None:
    """Create, update or delete the row with the key ``Key`` and the text ``Text``.

    The key is the physical id: another key is another row, and CloudFormation deletes the old one once the
    update is complete.

    Raises:
        RowExists: The row is not this resource's.
        ValueError: A property is missing.
    """
    owner = f"{event['StackId']}/{event['LogicalResourceId']}"
    if event["RequestType"] == "Delete":
        _delete(event["PhysicalResourceId"], owner)
        return None
    properties = event["ResourceProperties"]
    key, text = properties.get("Key"), properties.get("Text")
    if not isinstance(key, str) or not key or not isinstance(text, str):
        raise ValueError("Key and Text: give each as a text in the properties of the resource")
    _put(key, text, owner)
    logger.info("written: %s", key)
    return {"PhysicalResourceId": key, "Data": {"Length": str(len(text)), "Copy": text}}


def _put(key: str, text: str, owner: str) -> None:
    try:
        _dynamodb.put_item(
            TableName=_TABLE,
            Item={"id": {"S": f"row/{key}"}, "text": {"S": text}, "owner": {"S": owner}},
            ConditionExpression="attribute_not_exists(id) OR #owner = :owner",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": owner}},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        raise RowExists(f"{key}: there is a row with this key, and it is not of this resource") from None


def _delete(key: str, owner: str) -> None:
    """Delete a row of this resource. CloudFormation makes up an id when it got none: no row has it."""
    try:
        _dynamodb.delete_item(
            TableName=_TABLE,
            Key={"id": {"S": f"row/{key}"}},
            ConditionExpression="#owner = :owner",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": owner}},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        logger.info("not there: %s", key)
