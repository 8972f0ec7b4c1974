"""Queries run and are saved."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import deploy
from localaws import LocalAws

pytestmark = pytest.mark.local


def test_a_query_finds_the_newest_events_first_and_refuses_what_is_not_emulated(local_aws: LocalAws) -> None:
    logs, group, now = local_aws.client("logs"), uuid.uuid4().hex, int(time.time() * 1000)
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    events = [
        {"timestamp": now + number, "message": json.dumps({"n": number, "ok": number != 1})}
        for number in range(3)
    ]
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)
    when: dict[str, Any] = {"startTime": now // 1000 - 60, "endTime": now // 1000 + 60}
    text = "filter ok = 'true' | fields n, @log"
    query = logs.start_query(logGroupName=group, queryString=text, limit=1, **when)["queryId"]
    answer = logs.get_query_results(queryId=query)
    [row] = [{cell["field"]: cell["value"] for cell in row} for row in answer["results"]]
    assert answer["status"] == "Complete"
    assert (row["n"], row["@log"].rpartition(":")[2]) == ("2", group)
    with pytest.raises(ClientError, match=r"MalformedQueryException.*'parse' is not emulated"):
        logs.start_query(logGroupName=group, queryString="parse @message '*' as x", **when)


def test_a_saved_query_is_made_changed_and_deleted_by_a_template(local_aws: LocalAws) -> None:
    logs, name = local_aws.client("logs"), uuid.uuid4().hex
    properties = {"Name": f"{name}/all", "QueryString": "fields @message", "LogGroupNames": ["theirs"]}
    template: dict[str, Any] = {"Query": {"Type": "AWS::Logs::QueryDefinition", "Properties": properties}}

    def saved() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = logs.describe_query_definitions(queryDefinitionNamePrefix=f"{name}/")[
            "queryDefinitions"
        ]
        return found

    stack = deploy(local_aws, template)
    [made] = saved()
    assert made["logGroupNames"] == ["theirs"]
    stack.update({"Query": {**template["Query"], "Properties": properties | {"QueryString": "limit 1"}}})
    after = [(one["queryDefinitionId"], one["queryString"]) for one in saved()]
    assert after == [(made["queryDefinitionId"], "limit 1")]
    stack.delete()
    assert saved() == []
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        logs.delete_query_definition(queryDefinitionId=made["queryDefinitionId"])
