"""Records and streams that Kinesis refuses."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.refusals import Row, check, ids
from localaws import LocalAws

pytestmark = pytest.mark.local

INVALID, ARGUMENT = "ValidationException", "InvalidArgumentException"


def record(**changes: Any) -> dict[str, Any]:
    return {"StreamName": "held", "Data": b"x", "PartitionKey": "a", **changes}


def records(count: int, size: int = 1) -> dict[str, Any]:
    return {"StreamName": "held", "Records": [{"Data": b"x" * size, "PartitionKey": "a"}] * count}


REFUSED: list[Row] = [
    ("put_record", record(PartitionKey=""), INVALID, "greater than or equal to 1"),
    ("put_record", record(PartitionKey="a" * 257), INVALID, "less than or equal to 256"),
    ("put_record", record(Data=b"x" * 1_048_577), INVALID, "less than or equal to 1048576"),
    ("put_record", record(ExplicitHashKey="a"), INVALID, "Value 'a' at 'explicitHashKey' failed"),
    ("put_record", record(ExplicitHashKey=str(2**128)), ARGUMENT, "must be in the range: [0, 2^128-1]"),
    ("put_records", records(0), INVALID, "greater than or equal to 1"),
    ("put_records", records(501), INVALID, "less than or equal to 500"),
    ("create_stream", {"StreamName": "a b", "ShardCount": 1}, INVALID, "Value 'a b' at 'streamName' failed"),
    ("create_stream", {"StreamName": "new", "ShardCount": 0}, INVALID, "greater than or equal to 1"),
    ("create_stream", {"StreamName": "new"}, ARGUMENT, "ShardCount must be specified"),
    (
        "create_stream",
        {"StreamName": "new", "ShardCount": 1, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}},
        ARGUMENT,
        "ShardCount must not be specified",
    ),
]


@pytest.fixture(scope="module")
def aws(local_aws: LocalAws) -> LocalAws:
    """An account with a stream."""
    local_aws.client("kinesis").create_stream(StreamName="held", ShardCount=1)
    return local_aws


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_request_is_refused(aws: LocalAws, row: Row) -> None:
    check(aws, "kinesis", row)
