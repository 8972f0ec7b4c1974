"""Puts records into a Kinesis stream."""

from __future__ import annotations

from collections.abc import Sequence

from scenarios.framework import DeployedStack, require
from scenarios.support.queues import batches

_BATCH = 500  # the maximum of PutRecords


def put_records(stack: DeployedStack, stream: str, records: Sequence[tuple[str, bytes]]) -> list[str]:
    """Put records into a stream in this order, and return their sequence numbers.

    Args:
        stack: Reaches the stream.
        stream: Name of the stream.
        records: Partition key and data of each.

    Raises:
        ScenarioFailed: Kinesis rejected a record.
    """
    numbers: list[str] = []
    for batch in batches(records, _BATCH):
        answer = stack.client("kinesis").put_records(
            StreamName=stream, Records=[{"PartitionKey": key, "Data": data} for key, data in batch]
        )
        require(answer["FailedRecordCount"] == 0, f"Kinesis rejected records: {answer}")
        numbers += [record["SequenceNumber"] for record in answer["Records"]]
    return numbers
