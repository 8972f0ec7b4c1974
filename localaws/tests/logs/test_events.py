"""Log events have ids, and every one of them is found."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from localaws import LocalAws

pytestmark = pytest.mark.local

ID = re.compile(r"[1-9]\d{55}")
STREAMS = ("web-1", "web-2", "job-1")


@pytest.fixture(scope="module")
def group(local_aws: LocalAws) -> str:
    """A group with three streams of three events each, all of the same millisecond but for one."""
    logs, name, now = local_aws.client("logs"), f"/group/{uuid.uuid4().hex[:8]}", int(time.time() * 1000)
    logs.create_log_group(logGroupName=name)
    for stream in STREAMS:
        logs.create_log_stream(logGroupName=name, logStreamName=stream)
        events = [{"timestamp": now, "message": f"{stream} {count}"} for count in range(3)]
        answer = logs.put_log_events(logGroupName=name, logStreamName=stream, logEvents=events)
        assert re.fullmatch(r"\d{56}", answer["nextSequenceToken"])
    early = [{"timestamp": now - 1000, "message": "early"}]
    logs.put_log_events(logGroupName=name, logStreamName=STREAMS[-1], logEvents=early)
    return name


def test_an_event_has_the_members_of_aws(local_aws: LocalAws, group: str) -> None:
    found = local_aws.client("logs").filter_log_events(logGroupName=group)
    assert {frozenset(event) for event in found["events"]} == {
        frozenset({"logStreamName", "timestamp", "message", "ingestionTime", "eventId"})
    }
    ids = [event["eventId"] for event in found["events"]]
    assert all(ID.fullmatch(each) for each in ids)
    assert ids == sorted(set(ids))
    assert [event["message"] for event in found["events"]][:2] == ["early", "web-1 0"]
    again = local_aws.client("logs").filter_log_events(logGroupName=group)
    assert [event["eventId"] for event in again["events"]] == ids
    assert found["searchedLogStreams"] == []


def test_pages_lose_nothing(local_aws: LocalAws, group: str) -> None:
    pages = list(
        local_aws.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=group, PaginationConfig={"PageSize": 3})
    )
    assert [len(page["events"]) for page in pages] == [3, 3, 3, 1]
    assert len({event["message"] for page in pages for event in page["events"]}) == 10


def test_streams_are_chosen_by_name_or_prefix(local_aws: LocalAws, group: str) -> None:
    logs = local_aws.client("logs")

    def streams(**chosen: Any) -> set[str]:
        events = logs.filter_log_events(logGroupName=group, **chosen)["events"]
        return {event["logStreamName"] for event in events}

    assert streams(logStreamNamePrefix="web") == {"web-1", "web-2"}
    assert streams(logStreamNames=["job-1"]) == {"job-1"}
    for wrong, code in (
        ({"logStreamNames": ["none"]}, "ResourceNotFoundException"),
        ({"logStreamNames": ["web-1"], "logStreamNamePrefix": "web"}, "InvalidParameterException"),
        ({"nextToken": "nonsense"}, "InvalidParameterException"),
    ):
        with pytest.raises(ClientError, match=code):
            streams(**wrong)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.filter_log_events(logGroupName="/none")


def test_the_tokens_of_a_stream_lead_both_ways(local_aws: LocalAws, group: str) -> None:
    logs, of = local_aws.client("logs"), {"logGroupName": group, "logStreamName": "web-1", "limit": 2}
    first = logs.get_log_events(**of, startFromHead=True)
    assert re.fullmatch(r"f/\d{56}/s", first["nextForwardToken"])
    assert re.fullmatch(r"b/\d{56}/s", first["nextBackwardToken"])
    assert [set(event) for event in first["events"]] == [{"timestamp", "message", "ingestionTime"}] * 2
    second = logs.get_log_events(**of, nextToken=first["nextForwardToken"])
    assert [event["message"] for event in second["events"]] == ["web-1 2"]
    back = logs.get_log_events(**of, nextToken=second["nextBackwardToken"])
    assert back["events"] == first["events"]
    end = logs.get_log_events(**of, nextToken=second["nextForwardToken"])
    assert (end["events"], end["nextForwardToken"]) == ([], second["nextForwardToken"])
    with pytest.raises(ClientError, match="InvalidParameterException"):
        logs.get_log_events(**of, nextToken="f/nonsense")


def test_lines_of_functions_are_events_like_others(functions: Functions) -> None:
    name = functions.make("def handler(event, context): print('hello')")
    functions.invoke(name)
    events = functions.aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert [event["message"] for event in events if "hello" in event["message"]]
    assert all(ID.fullmatch(event["eventId"]) and event["ingestionTime"] for event in events)
