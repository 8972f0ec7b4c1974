"""Log events and names that CloudWatch Logs refuses."""

from __future__ import annotations

import time
from typing import Any

import pytest

from helpers.refusals import Row, check, client, ids
from localaws import LocalAws

pytestmark = pytest.mark.local

INVALID = "InvalidParameterException"
NOW, HOUR, DAY = int(time.time() * 1000), 3_600_000, 86_400_000


def events(*times: int, message: str = "x") -> dict[str, Any]:
    listed = [{"timestamp": one, "message": message} for one in times]
    return {"logGroupName": "held", "logStreamName": "held", "logEvents": listed}


REFUSED: list[Row] = [
    ("create_log_group", {"logGroupName": "a b"}, INVALID, "Value 'a b' at 'logGroupName' failed"),
    ("create_log_group", {"logGroupName": "x" * 513}, INVALID, "less than or equal to 512"),
    ("create_log_group", {"logGroupName": "aws/lambda/a"}, INVALID, "reserved for AWS"),
    (
        "create_log_stream",
        {"logGroupName": "held", "logStreamName": "a:b"},
        INVALID,
        "'a:b' at 'logStreamName'",
    ),
    ("put_retention_policy", {"logGroupName": "held", "retentionInDays": 2}, INVALID, ""),
    ("put_log_events", events(), INVALID, "greater than or equal to 1"),
    ("put_log_events", events(NOW, message=""), INVALID, "greater than or equal to 1"),
    ("put_log_events", events(*[NOW] * 10_001), INVALID, "less than or equal to 10000"),
    ("put_log_events", events(NOW, NOW - 1), INVALID, "must be in chronological order"),
    ("put_log_events", events(NOW - DAY - 1, NOW), INVALID, "cannot span more than 24 hours"),
    (
        "put_log_events",
        events(NOW, message="x" * 1_048_551),
        INVALID,
        "1048577 bytes exceeds limit of 1048576",
    ),
]


@pytest.fixture(scope="module")
def aws(local_aws: LocalAws) -> LocalAws:
    """An account with a log stream."""
    local_aws.client("logs").create_log_group(logGroupName="held")
    local_aws.client("logs").create_log_stream(logGroupName="held", logStreamName="held")
    return local_aws


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_request_is_refused(aws: LocalAws, row: Row) -> None:
    check(aws, "logs", row)


def test_events_that_are_too_old_or_too_new_are_left_out(aws: LocalAws) -> None:
    logs = client(aws, "logs")
    old = logs.put_log_events(**events(NOW - 14 * DAY - HOUR, NOW - 14 * DAY + HOUR))
    assert old["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    new = logs.put_log_events(**events(NOW, NOW + 3 * HOUR))
    assert new["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    stored = logs.get_log_events(logGroupName="held", logStreamName="held", startFromHead=True)["events"]
    assert [event["timestamp"] for event in stored] == [NOW - 14 * DAY + HOUR, NOW]


def test_what_the_group_would_have_deleted_is_left_out(aws: LocalAws) -> None:
    logs = client(aws, "logs")
    logs.create_log_group(logGroupName="kept")
    logs.create_log_stream(logGroupName="kept", logStreamName="held")
    logs.put_retention_policy(logGroupName="kept", retentionInDays=3)
    answer = logs.put_log_events(
        **events(NOW - 3 * DAY - HOUR, NOW - 3 * DAY + HOUR) | {"logGroupName": "kept"}
    )
    assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}


def test_what_is_left_out_does_not_count_for_the_span(aws: LocalAws) -> None:
    answer = client(aws, "logs").put_log_events(**events(NOW - 14 * DAY - HOUR, NOW))
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
