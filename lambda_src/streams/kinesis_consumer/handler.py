"""Kinesis records → a summary of each device in DynamoDB, every reading counted once.

A batch is folded in memory and costs one read and one write for each device in it. The batch utility of
Powertools does not fit here: it handles record by record, and continues after a failure.

The first failure ends the batch, and the response names that record: Lambda counts the records before it as
processed. If it is the very first record, the response would name the whole batch, so the handler raises
instead: Lambda then splits the batch, until the bad record is isolated.
"""

import base64
import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_quick_client
    from shared.shares import Shares
    from shared.stream_batches import partial_batch_response

    from .readings import NotAReading, Reading
    from .summaries import Summaries

    logger = Logger()
    summaries = Summaries(make_quick_client("dynamodb"), os.environ["TABLE_NAME"])

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Count a batch and return the first record that failed, if any.

    Raises:
        Exception: The first of several records could not be counted.
    """
    records = [record["kinesis"] for record in event["Records"]]
    failures: dict[str, Exception] = {}
    devices: dict[str, list[Reading]] = {}
    for record in records:
        try:
            reading = _parse(record)
        except NotAReading as reason:
            failures[record["sequenceNumber"]] = reason
            break
        devices.setdefault(reading.device, []).append(reading)
    shares = Shares(context, 2 * len(devices))  # a call to read, and one to write
    for device, readings in devices.items():
        try:
            shares.next()
            summaries.add(device, readings)
        except Exception as error:
            logger.exception("not counted", readings=len(readings))
            failures[str(readings[0].sequence)] = error
    logger.info("batch done", records=len(records), devices=len(devices), failed=len(failures))
    for number, failure in failures.items():
        logger.warning("failed", sequence_number=number, reason=str(failure))
    return partial_batch_response([record["sequenceNumber"] for record in records], failures)


def _parse(record: dict[str, Any]) -> Reading:
    data = base64.b64decode(record["data"])
    return Reading.parse(data, record["partitionKey"], int(record["sequenceNumber"]))
