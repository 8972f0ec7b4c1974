"""The fan-out, deployed with the real CDK CLI and driven with thousands of events, IAM enforced."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from scenarios.framework import DeployedStack
from scenarios.messaging import sns_fifo_fanout
from scenarios.support.faults import Faults

pytestmark = pytest.mark.local


@pytest.mark.full
def test_thousands_of_events_with_random_failures_become_the_fold(
    stack: DeployedStack, faults: Faults
) -> None:
    with closing(sns_fifo_fanout.Orders(stack)) as orders:
        chance = random.Random(24)
        count = sns_fifo_fanout.send_during_failures(orders, faults, 400, chance)
        assert count > 1400
        sns_fifo_fanout.send_mixed(orders, 200, chance)
        orders.redrive_until_it_holds()
    assert sns_fifo_fanout.leftovers(stack) == []
