"""Lines that Lambda itself writes to a log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually
from localaws import LocalAws

pytestmark = pytest.mark.local


@pytest.mark.parametrize(
    ("source", "status"),
    [("def handler(e, c): print('mine')", "success"), ("def handler(e, c): print('mine'); 1 / 0", "error")],
)
def test_a_function_that_logs_json_has_its_start_and_report_in_json(
    local_aws: LocalAws, functions: Functions, source: str, status: str
) -> None:
    name = functions.make(source, LoggingConfig={"LogFormat": "JSON"}, MemorySize=256)
    functions.invoke(name)

    def messages() -> list[str]:
        events: list[Any] = local_aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")[
            "events"
        ]
        return [event["message"] for event in events]

    found = eventually(lambda: [one for one in messages() if "platform.report" in one] and messages())
    first, last = json.loads(found[0]), json.loads(found[-1])
    assert (first["type"], last["type"]) == ("platform.start", "platform.report")
    assert first["record"]["requestId"] == last["record"]["requestId"]
    assert last["record"]["status"] == status
    assert last["record"]["metrics"]["memorySizeMB"] == 256
    assert "mine" in found
    assert not [one for one in found if one.startswith(("START", "END", "REPORT"))]
