"""Changes of a table of orders → a row for each order in its customer's partition of another table.

A batch is folded in memory: however often an order changed, its row is written once, and the rows of a batch
are written concurrently. The row has the version of the change, and a write is refused if the row has that
version or a later one: what Lambda delivers again changes nothing.

The first failure ends the batch, and the response names that record. A record after it may have been written
already; it is delivered again, and changes nothing then.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_quick_client
    from shared.shares import Shares
    from shared.stream_batches import partial_batch_response

    from .rows import Item, Key, NotAnOrder, key_of, rows_after

    logger = Logger()
    dynamodb = make_quick_client("dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

TABLE = os.environ["PROJECTION_TABLE_NAME"]
_WRITERS = 8  # fewer than the ten connections of a client


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Write the rows that a batch changes, and return the first record that failed, if any.

    Raises:
        Exception: The first of several records could not be written.
    """
    numbers = [record["dynamodb"]["SequenceNumber"] for record in event["Records"]]
    failures: dict[str, Exception] = {}
    rows: dict[Key, Item] = {}
    first_change: dict[Key, str] = {}  # what is delivered again if the row is not written
    for number, record in zip(numbers, event["Records"], strict=True):
        try:
            for row in rows_after(record):
                rows[key_of(row)] = row
                first_change.setdefault(key_of(row), number)
        except NotAnOrder as reason:
            failures[number] = reason
            break
    shares = Shares(context, len(rows))

    def write(key: Key) -> bool:
        try:
            shares.next()
            return put(rows[key])
        except Exception as error:
            logger.exception("not written")
            failures[first_change[key]] = error
            return False

    with ThreadPoolExecutor(_WRITERS) as pool:
        written = sum(pool.map(write, rows))
    logger.info("batch done", records=len(numbers), rows=len(rows), written=written, failed=len(failures))
    for number, failure in failures.items():
        logger.warning("failed", sequence_number=number, reason=str(failure))
    return partial_batch_response(numbers, failures)


def put(row: Item) -> bool:
    """Write a row; return whether it was older."""
    try:
        dynamodb.put_item(
            TableName=TABLE,
            Item=row,
            ConditionExpression="attribute_not_exists(version) OR version < :version",
            ExpressionAttributeValues={":version": row["version"]},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True
