"""What finds the security group of CloudFront, and how long clients may keep responses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from localaws.services.cloudfront.functions import problem
from tests.handlers.importing import import_handler

ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}
HANDLER: Any = import_handler("solutions.software_updates.handler", ENVIRONMENT)
SOURCE = Path(__file__).parents[3] / "lambda_src/solutions/software_updates/viewer_response.js"


class Ec2:
    """Has the security group from the given call on."""

    def __init__(self, comes: int) -> None:
        self.comes, self.asked = comes, 0

    def describe_security_groups(self, **_: object) -> Any:
        self.asked += 1
        return {"SecurityGroups": [{"GroupId": "sg-1"}] if self.asked >= self.comes else []}


@pytest.mark.parametrize("comes", [1, 4])
def test_the_group_is_found_also_if_cloudfront_makes_it_later(comes: int) -> None:
    pauses: list[float] = []
    assert HANDLER.find(Ec2(comes), "vpc-1", pauses.append) == "sg-1"
    assert len(pauses) == comes - 1


def test_a_vpc_without_vpc_origin_fails_the_deployment_within_its_time() -> None:
    pauses: list[float] = []
    with pytest.raises(HANDLER.NotFound, match="CloudFront-VPCOrigins-Service-SG: not in vpc-1"):
        HANDLER.find(Ec2(99), "vpc-1", pauses.append)
    assert sum(pauses) < 100


def test_the_id_is_an_attribute_and_a_deletion_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HANDLER, "_ec2", Ec2(1))
    made = HANDLER.handler({"RequestType": "Create", "ResourceProperties": {"VpcId": "vpc-1"}}, None)
    assert made == {"PhysicalResourceId": "sg-1", "Data": {"SecurityGroupId": "sg-1"}}
    assert HANDLER.handler({"RequestType": "Delete"}, None) is None


@pytest.mark.parametrize("properties", [{}, {"VpcId": ""}, {"VpcId": ["vpc-1"]}])
def test_a_missing_property_is_named(properties: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="VpcId: give the id"):
        HANDLER.handler({"RequestType": "Create", "ResourceProperties": properties}, None)


def test_clients_keep_versioned_files_and_ask_for_the_manifest() -> None:
    """And the result is one that CloudFront accepts."""
    kept, not_kept = "public, max-age=31536000, immutable", "no-cache"
    expected = {
        ("/releases/1.0/app.bin", 200): kept,
        ("/releases/1.0/app.bin", 206): kept,
        ("/releases/1.0/app.bin", 304): kept,
        ("/releases/1.0", 301): not_kept,
        ("/releases/../manifest.json", 200): not_kept,
        ("/releases/%2E%2e/manifest.json", 200): not_kept,
        ("/releases/.next", 200): not_kept,
        ("/manifest.json", 200): not_kept,
        ("/", 200): not_kept,
        ("/releases", 200): not_kept,
    }
    events = [
        {
            "context": {"eventType": "viewer-response"},
            "request": {"uri": uri, "headers": {}},
            "response": {"statusCode": status, "headers": {"cache-control": {"value": "private"}}},
        }
        for uri, status in expected
    ]
    script = f"{SOURCE.read_text()}; console.log(JSON.stringify({json.dumps(events)}.map(handler)))"
    ran = subprocess.run(["node", "-e", script], check=True, capture_output=True, text=True)
    results = json.loads(ran.stdout)
    assert [one["headers"]["cache-control"]["value"] for one in results] == list(expected.values())
    assert [problem(one, event) for one, event in zip(results, events, strict=True)] == [None] * len(events)
