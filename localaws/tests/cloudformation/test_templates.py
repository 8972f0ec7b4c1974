"""Templates that CloudFormation refuses before there is a stack."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws

pytestmark = pytest.mark.local

TOPIC = {"Type": "AWS::SNS::Topic"}


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        ({}, "At least one Resources member must be defined"),
        ({"A_b": TOPIC}, "Resource name A_b is non alphanumeric"),
        (
            {"A": {**TOPIC, "DependsOn": "B"}, "B": {**TOPIC, "DependsOn": ["A"]}},
            "Circular dependency between",
        ),
        ({"A": {**TOPIC, "Properties": {"TopicName": {"Ref": "Gone"}}}}, "Unresolved resource dependencies"),
    ],
)
def test_a_template_is_refused(local_aws: LocalAws, resources: dict[str, Any], text: str) -> None:
    client, body = local_aws.client("cloudformation"), json.dumps({"Resources": resources})
    request = {"StackName": "refused", "TemplateBody": body}
    for call, more in (
        (client.create_stack, {}),
        (client.create_change_set, {"ChangeSetName": "first", "ChangeSetType": "CREATE"}),
    ):
        with pytest.raises(ClientError, match=text) as raised:
            call(**request, **more)
        assert raised.value.response["Error"]["Code"] == "ValidationError"
