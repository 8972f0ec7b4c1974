"""The fan-out, deployed with the real CDK CLI and driven with real events, IAM enforced."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack
from scenarios.messaging import sns_fifo_fanout
from scenarios.support.faults import Faults
from tasks.demo import check_dropped
from tests.local.least_privilege import superfluous, try_without_each

pytestmark = pytest.mark.local


def leftovers(stack: DeployedStack) -> list[str]:
    """What is in the tables and in the queues."""
    found = []
    for name, value in stack.outputs.items():
        if name.endswith("TableName"):
            found += [str(item) for item in stack.client("dynamodb").scan(TableName=value)["Items"]]
        if name.endswith("QueueUrl"):
            answer = stack.client("sqs").receive_message(QueueUrl=value, VisibilityTimeout=0)
            found += [f"{name}: {message}" for message in answer.get("Messages", [])]
    return found


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), sns_fifo_fanout.ACCEPTED_NOT_EMULATED)


def test_the_read_models_are_the_fold_of_the_store_and_nothing_is_left_behind(stack: DeployedStack) -> None:
    sns_fifo_fanout.run(stack)
    assert leftovers(stack) == []


def test_failures_change_nothing_in_the_end(stack: DeployedStack, faults: Faults) -> None:
    sns_fifo_fanout.drill(stack, faults)
    assert leftovers(stack) == []


@pytest.mark.full
def test_thousands_of_events_with_failures_at_random_become_the_fold(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    with closing(sns_fifo_fanout.Orders(stack)) as orders:
        chance = random.Random(24)
        count = sns_fifo_fanout.prove(orders, Faults(local_aws.session), 400, chance)
        assert count > 1400
        sns_fifo_fanout.send_mixed(orders, 200, chance)
        orders.redrive_until_it_holds()
    assert leftovers(stack) == []


@pytest.mark.full
@pytest.mark.parametrize("role_of", [f"{name}FunctionName" for name in sns_fifo_fanout.SUBSCRIBERS])
def test_the_roles_need_every_one_of_their_grants(stack: DeployedStack, role_of: str) -> None:
    findings = try_without_each(stack, stack.output(role_of), sns_fifo_fanout.smoke)
    assert superfluous(findings) == []


@pytest.mark.full
@pytest.mark.parametrize("role_of", ["BridgeFunctionName"])
def test_the_role_of_the_bridge_needs_every_one_of_its_grants_and_a_planted_one_is_found(
    stack: DeployedStack, role_of: str
) -> None:
    findings = try_without_each(
        stack, stack.output(role_of), sns_fifo_fanout.smoke_of_bridge, plant="kinesis:PutRecord"
    )
    assert len(findings) == 8
    assert [grant.action for grant in superfluous(findings)] == ["kinesis:PutRecord"]
