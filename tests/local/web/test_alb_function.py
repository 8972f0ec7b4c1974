"""The notes service behind its load balancer, deployed with the real CDK CLI and asked over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack
from scenarios.support import endpoints
from scenarios.support.faults import Faults
from scenarios.web import alb_function
from tasks.demo import check_dropped, deploy
from tests.local.least_privilege import superfluous, try_without_each

pytestmark = pytest.mark.local


def leftovers(stack: DeployedStack) -> list[object]:
    """What is in the table."""
    rows: list[object] = stack.client("dynamodb").scan(TableName=stack.output("TableName"))["Items"]
    return rows


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), alb_function.ACCEPTED_NOT_EMULATED)


def test_requests_of_every_kind_are_answered_and_nothing_is_left_behind(
    stack: DeployedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alb_function, "CONCURRENT", 40)
    outcome = alb_function.run(stack)
    assert any("40 clients at the same time" in line for line in outcome.story)
    assert leftovers(stack) == []


@pytest.mark.full
def test_of_200_concurrent_requests_none_is_lost(stack: DeployedStack) -> None:
    outcome = alb_function.run(stack)
    assert any("200 clients at the same time" in line for line in outcome.story)
    assert leftovers(stack) == []


@pytest.mark.full
def test_of_forty_concurrent_invocations_none_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each request in an execution environment of its own."""
    monkeypatch.setenv("LOCALAWS_ALB_INVOCATIONS", "40")
    monkeypatch.setattr(alb_function, "CONCURRENT", 40)
    monkeypatch.setattr(endpoints, "TIMEOUT", 300)
    with LocalAws() as aws:
        stack = DeployedStack("alb-function", deploy("alb-function", aws, tmp_path), aws.session)
        outcome = alb_function.run(stack)
    assert any("40 clients at the same time" in line for line in outcome.story)


def test_whatever_breaks_behind_it_is_a_clean_error(stack: DeployedStack, faults: Faults) -> None:
    outcome = alb_function.drill(stack, faults)
    assert any("broken function" in line for line in outcome.story)
    assert leftovers(stack) == []


@pytest.mark.parametrize("role_of", ["FunctionName"])
def test_the_role_needs_every_one_of_its_grants(stack: DeployedStack, role_of: str) -> None:
    findings = try_without_each(stack, stack.output(role_of), alb_function.smoke)
    assert superfluous(findings) == []
    assert len(findings) == 4
