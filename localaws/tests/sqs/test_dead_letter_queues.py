"""Dead-letter queues that SQS refuses, in AWS's words."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import DeploymentFailedError, arn, deploy
from localaws import LocalAws

pytestmark = pytest.mark.local

KIND = "Reason: Dead-letter queue must be same type of queue as the source."


def make(aws: LocalAws, fifo: bool, dead: str | None = None) -> str:
    """Make a queue, with a dead-letter queue by ARN; returns its ARN."""
    name = f"queue-{uuid.uuid4().hex[:8]}{'.fifo' if fifo else ''}"
    attributes = {"FifoQueue": "true"} if fifo else {}
    if dead:
        attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 3})
    aws.client("sqs").create_queue(QueueName=name, Attributes=attributes)
    return f"arn:aws:sqs:{aws.region}:{aws.account}:{name}"


@pytest.mark.parametrize("fifo", [True, False])
def test_one_of_another_kind_is_refused(local_aws: LocalAws, fifo: bool) -> None:
    dead, sqs = make(local_aws, not fifo), local_aws.client("sqs")
    with pytest.raises(ClientError, match=re.escape(KIND)) as caught:
        make(local_aws, fifo, dead)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValue"
    url = sqs.get_queue_url(QueueName=make(local_aws, fifo).rpartition(":")[2])["QueueUrl"]
    policy = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 3})
    with pytest.raises(ClientError, match=re.escape(KIND)):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})


@pytest.mark.parametrize(
    ("dead", "reason"),
    [
        ("arn:aws:sqs:eu-west-3:{account}:dead", "Dead-letter target owner should be same as the source."),
        ("arn:aws:sqs:{region}:210987654321:dead", "Dead-letter target owner should be same as the source."),
        ("arn:aws:sqs:{region}:{account}:none", "Dead letter target does not exist."),
    ],
    ids=["Region", "account", "none"],
)
def test_one_elsewhere_is_refused(local_aws: LocalAws, dead: str, reason: str) -> None:
    target = dead.format(region=local_aws.region, account=local_aws.account)
    with pytest.raises(ClientError, match=f"InvalidParameterValue.*Reason: {reason}"):
        make(local_aws, False, target)


@pytest.mark.parametrize("fifo", [True, False])
def test_cloudformation_refuses_one_of_another_kind(local_aws: LocalAws, fifo: bool) -> None:
    kinds: list[dict[str, Any]] = [{"FifoQueue": True}, {}]
    source, dead = kinds if fifo else reversed(kinds)
    policy = {"RedrivePolicy": {"deadLetterTargetArn": arn("Dead"), "maxReceiveCount": 3}}
    resources = {
        "Dead": {"Type": "AWS::SQS::Queue", "Properties": dead},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": source | policy},
    }
    with pytest.raises(DeploymentFailedError, match=re.escape(KIND)):
        deploy(local_aws, resources)
