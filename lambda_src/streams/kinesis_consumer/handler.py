"""Kinesis records → a summary of each device in DynamoDB, every reading counted once.

A batch is folded in memory and costs one read and one write for each device in it. The batch utility of
Powertools is not used: it works on record after record and goes on behind a failure, and neither fits here.

What fails stops the batch at that record, and the answer says where: Lambda counts what is before as done. If
that is the very first record, the handler raises instead, for then an answer tells Lambda nothing, while an
error makes it halve the batch, until the bad record is alone and takes nothing with it.
"""

# through all of it again and again takes a third of the start.
import gc

gc.disable()

import base64
import os
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.logging import Logger
from readings import NotAReading, Reading
from summaries import Summaries

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
summaries = Summaries(boto3.client("dynamodb"), os.environ["TABLE_NAME"])
gc.enable()


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Count a batch and answer where it failed, if it did.

    Raises:
        Exception: Whatever kept the first of several records from being counted.
    """
    records = event["Records"]
    failures: dict[int, Exception] = {}
    devices: dict[str, list[Reading]] = {}
    for record in records:
        try:
            reading = _parse(record["kinesis"])
        except NotAReading as reason:
            failures[int(record["kinesis"]["sequenceNumber"])] = reason
            break
        devices.setdefault(reading.device, []).append(reading)
    for device, readings in devices.items():
        try:
            _count(device, readings)
        except Exception as error:
            logger.exception("not counted", readings=len(readings))
            failures[readings[0].sequence] = error
    logger.info("batch done", records=len(records), devices=len(devices), failed=len(failures))
    return _answer(records, failures)


def _parse(record: dict[str, Any]) -> Reading:
    data = base64.b64decode(record["data"])
    return Reading.parse(data, record["partitionKey"], int(record["sequenceNumber"]))


def _count(device: str, readings: list[Reading]) -> None:
    old = summaries.get(device)
    new = old.with_readings(readings)
    if new != old:
        summaries.put(device, new, old)


def _answer(records: list[dict[str, Any]], failures: dict[int, Exception]) -> dict[str, Any]:
    if not failures:
        return {"batchItemFailures": []}
    first = min(failures)
    logger.warning("stopped", sequence_number=str(first), reason=str(failures[first]))
    numbers = [record["kinesis"]["sequenceNumber"] for record in records]
    if first == int(numbers[0]) and len(records) > 1:
        raise failures[first]
    [number] = [number for number in numbers if int(number) == first]
    return {"batchItemFailures": [{"itemIdentifier": number}]}
