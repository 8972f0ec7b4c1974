"""The SQS consumers, deployed with the real CDK CLI and driven with real messages, IAM enforced."""

from __future__ import annotations

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack
from scenarios.messaging import sqs_consumer
from scenarios.support.faults import Faults
from tasks.demo import check_dropped
from tests.local.least_privilege import superfluous, try_without_each

pytestmark = pytest.mark.local


def leftovers(stack: DeployedStack) -> list[str]:
    """What is in the table and in the queues."""
    found = [
        str(item) for item in stack.client("dynamodb").scan(TableName=stack.output("TableName"))["Items"]
    ]
    for name, url in stack.outputs.items():
        if name.endswith("QueueUrl"):
            counts = stack.client("sqs").get_queue_attributes(
                QueueUrl=url,
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )["Attributes"]
            found += [f"{name}: {counts}"] if any(count != "0" for count in counts.values()) else []
    return found


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), sqs_consumer.ACCEPTED_NOT_EMULATED)


def test_the_ledger_is_the_sum_of_the_entries_and_nothing_is_left_behind(stack: DeployedStack) -> None:
    outcome = sqs_consumer.run(stack)
    assert any("each counted once" in line for line in outcome.story)
    assert leftovers(stack) == []


def test_what_failed_is_kept_until_a_redrive_heals_it(stack: DeployedStack, faults: Faults) -> None:
    sqs_consumer.drill(stack, faults)
    assert leftovers(stack) == []


@pytest.mark.full
@pytest.mark.parametrize("role_of", [f"{kind}FunctionName" for kind in sqs_consumer.KINDS])
def test_the_role_needs_every_one_of_its_grants(stack: DeployedStack, role_of: str) -> None:
    kind = role_of.removesuffix("FunctionName")
    findings = try_without_each(stack, stack.output(role_of), lambda stack: sqs_consumer.smoke(stack, kind))
    assert {finding.grant.action for finding in findings} == {
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
    }
    assert superfluous(findings) == []
