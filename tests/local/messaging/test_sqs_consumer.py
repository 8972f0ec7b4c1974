"""The SQS consumers, deployed with the real CDK CLI and driven with real messages, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import DeployedStack
from scenarios.messaging import sqs_consumer
from scenarios.support.faults import Faults

pytestmark = pytest.mark.local


def test_every_entry_is_booked_once_and_one_redrive_books_what_failed(stack: DeployedStack) -> None:
    facts = sqs_consumer.run(stack).facts
    assert facts["accounts"] == 16
    assert facts["entries"] == 8 * 9 + 8 * 8
    assert facts["duplicates"] == 13
    assert facts["redrives"] == 1
    assert sqs_consumer.leftovers(stack) == []


def test_the_redrive_of_a_fifo_queue_preserves_order(stack: DeployedStack, faults: Faults) -> None:
    assert sqs_consumer.drill(stack, faults).facts["Fifo redrives"] == 1
    assert sqs_consumer.leftovers(stack) == []
