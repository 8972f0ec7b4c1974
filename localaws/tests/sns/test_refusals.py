"""Subjects, message structures and subscriptions that SNS refuses."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import DeploymentFailedError, deploy
from localaws import LocalAws

pytestmark = pytest.mark.local

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:any"
STRUCTURE = "Message Structure - "
MESSAGES: list[tuple[dict[str, str], str]] = [
    *(({"Subject": subject}, "Invalid parameter: Subject") for subject in ("x" * 101, "a\nb", "a\x07b")),
    ({"MessageStructure": "json", "Message": '{"sqs": "a"}'}, f"{STRUCTURE}No default entry"),
    ({"MessageStructure": "json", "Message": '{"default": 1}'}, f"{STRUCTURE}No default entry"),
    ({"MessageStructure": "json", "Message": "text"}, f"{STRUCTURE}JSON message body failed to parse"),
]


def topic(aws: LocalAws, *, fifo: bool = False) -> str:
    name, settings = f"topic-{uuid.uuid4().hex[:8]}", {"FifoTopic": "true"} if fifo else {}
    made: str = aws.client("sns").create_topic(Name=name + ".fifo" * fifo, Attributes=settings)["TopicArn"]
    return made


@pytest.mark.parametrize(("message", "text"), MESSAGES)
def test_a_message_is_refused(local_aws: LocalAws, message: dict[str, str], text: str) -> None:
    sns, arn = local_aws.client("sns"), topic(local_aws)
    with pytest.raises(ClientError, match=text) as raised:
        sns.publish(TopicArn=arn, **{"Message": "hello", **message})
    assert raised.value.response["Error"]["Code"] == "InvalidParameter"
    entries = [{"Id": "bad", "Message": "hello", **message}, {"Id": "good", "Message": "hello"}]
    answer = sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert answer["Failed"][0]["Code"] == "InvalidParameter"
    sns.publish(
        TopicArn=arn, Message=json.dumps({"default": "a"}), MessageStructure="json", Subject="x" * 100
    )


@pytest.mark.parametrize(
    ("fifo", "attributes", "text"),
    [
        (True, {}, "Invalid protocol type: lambda"),
        (False, {"FilterPolicy": "no json"}, "FilterPolicy: failed to parse JSON"),
        (False, {"FilterPolicy": "[1]"}, "FilterPolicy: failed to parse JSON"),
    ],
)
def test_a_subscription_is_refused(
    local_aws: LocalAws, fifo: bool, attributes: dict[str, Any], text: str
) -> None:
    sns, arn = local_aws.client("sns"), topic(local_aws, fifo=fifo)
    wanted = {"TopicArn": arn, "Protocol": "lambda", "Endpoint": FUNCTION}
    with pytest.raises(ClientError, match=text) as raised:
        sns.subscribe(**wanted, Attributes=attributes)
    assert raised.value.response["Error"]["Code"] == "InvalidParameter"
    resource = {"Type": "AWS::SNS::Subscription", "Properties": {**wanted, **attributes}}
    with pytest.raises(DeploymentFailedError, match=text):
        deploy(local_aws, {"Subscription": resource})
