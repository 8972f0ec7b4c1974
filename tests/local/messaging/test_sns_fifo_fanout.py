"""The fan-out, deployed with the real CDK CLI and driven with real events, IAM enforced."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack
from scenarios.messaging import sns_fifo_fanout
from scenarios.support.faults import Faults

pytestmark = pytest.mark.local


def test_an_event_that_arrives_too_early_is_stored_after_a_redrive(stack: DeployedStack) -> None:
    facts = sns_fifo_fanout.run(stack).facts
    assert int(facts["events"]) >= 3 * 8
    assert int(facts["duplicates"]) >= 2
    assert int(facts["redrives"]) >= 1
    assert sns_fifo_fanout.leftovers(stack) == []


@pytest.mark.full
def test_thousands_of_events_with_random_failures_become_the_fold(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    with closing(sns_fifo_fanout.Orders(stack)) as orders:
        chance = random.Random(24)
        count = sns_fifo_fanout.send_during_failures(orders, Faults(local_aws.session), 400, chance)
        assert count > 1400
        sns_fifo_fanout.send_mixed(orders, 200, chance)
        orders.redrive_until_it_holds()
    assert sns_fifo_fanout.leftovers(stack) == []
