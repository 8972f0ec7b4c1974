"""The Kinesis consumer, deployed with the real CDK CLI and driven with real records, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import DeployedStack
from scenarios.streams import kinesis_consumer
from scenarios.support.faults import Faults

pytestmark = pytest.mark.local


def test_every_reading_is_counted_once_and_only_the_poison_record_fails(stack: DeployedStack) -> None:
    facts = kinesis_consumer.run(stack).facts
    assert facts["readings"] == 400
    assert facts["condition"] == "RetryAttemptsExhausted"
    assert facts["attempts"] == 3
    assert kinesis_consumer.leftovers(stack) == []


def test_discarded_readings_can_be_put_again(stack: DeployedStack, faults: Faults) -> None:
    assert kinesis_consumer.drill(stack, faults).facts["put again"] == 2
    assert kinesis_consumer.leftovers(stack) == []
