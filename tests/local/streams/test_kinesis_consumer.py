"""The Kinesis consumer, deployed with the real CDK CLI and driven with real records, IAM enforced."""

from __future__ import annotations

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack
from scenarios.streams import kinesis_consumer
from scenarios.support.faults import Faults
from tasks.demo import check_dropped
from tests.local.least_privilege import superfluous, try_without_each

pytestmark = pytest.mark.local


def leftovers(stack: DeployedStack) -> list[str]:
    """What is in the table and in the failure queue."""
    items = stack.client("dynamodb").scan(TableName=stack.output("TableName"))["Items"]
    messages = stack.client("sqs").receive_message(
        QueueUrl=stack.output("FailureQueueUrl"), VisibilityTimeout=0
    )
    return [str(found) for found in [*items, *messages.get("Messages", [])]]


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), kinesis_consumer.ACCEPTED_NOT_EMULATED)


def test_the_summaries_are_the_fold_of_the_readings_and_nothing_is_left_behind(stack: DeployedStack) -> None:
    kinesis_consumer.run(stack)
    assert leftovers(stack) == []


def test_what_was_given_up_is_put_again(stack: DeployedStack, faults: Faults) -> None:
    kinesis_consumer.drill(stack, faults)
    assert leftovers(stack) == []


@pytest.mark.full
@pytest.mark.parametrize("role_of", ["FunctionName"])
def test_the_role_needs_every_one_of_its_grants(stack: DeployedStack, role_of: str) -> None:
    findings = try_without_each(stack, stack.output(role_of), kinesis_consumer.smoke)
    assert len(findings) == 8
    assert superfluous(findings) == []
