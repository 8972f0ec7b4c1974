"""The service hooks, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenarios.framework import DeployedStack, Outcome
from scenarios.observability.service_hooks import run

pytestmark = pytest.mark.local


def test_each_service_gets_its_answer(outcome: Outcome) -> None:
    facts = outcome.facts
    assert (facts["custom resource: changes"], facts["config rule: events"]) == (3, 6)
    assert facts["custom resource: failed creations without a trace"] == 2
    assert (facts["high readings"], facts["attempts of a malformed reading"]) == (2, 3)
    assert (facts["tickets that get a reply"], facts["mails that were never stored"]) == (1, 2)


def test_no_deployment_hangs_and_nothing_is_lost(drilled: Outcome) -> None:
    facts = drilled.facts
    assert facts["custom resource: failures with a reason"] == 4
    assert facts["config rule: events in the failure queue"] == 2
    assert (facts["mails redriven"], facts["callers refused"]) == (1, 2)


def test_it_can_be_verified_in_an_account_where_only_the_services_send_their_events(
    stack: DeployedStack,
) -> None:
    facts = run(replace(stack, deliver_as=None)).facts
    assert facts["custom resource: changes"] == 3
    assert "config rule: events" not in facts
