"""Events of a database, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import Outcome

pytestmark = pytest.mark.local


def test_a_failover_that_is_reported_twice_has_one_alert_for_each_event(outcome: Outcome) -> None:
    facts = outcome.facts
    assert facts["alerts of the failover"] == 3
    assert facts["Multi-AZ instance failover started."] == "alarm"
    assert facts["DB instance restarted."] == "notify"
    assert (facts["unknown event"], facts["alerts of a duplicate"]) == ("unknown", 1)
    assert facts["attempts of the bad message"] == 3


def test_lost_permissions_delay_an_alert_and_lose_none(drilled: Outcome) -> None:
    facts = drilled.facts
    assert facts["low storage"] == "alarm"
    assert facts["another subscription"] == "SNSNoAuthorization"
    assert facts["subscription without permission"] == "no-permission"
    assert facts["subscription with permission"] == "active"
    assert (facts["redriven"], facts["alerts after the redrive"]) == (3, 2)
