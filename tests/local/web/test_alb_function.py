"""The notes service behind its load balancer, deployed with the real CDK CLI and driven over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack
from scenarios.support import endpoints
from scenarios.support.faults import Faults
from scenarios.web import alb_function
from tasks.demo import deploy

pytestmark = pytest.mark.local


def test_requests_of_every_kind_are_answered(stack: DeployedStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alb_function, "CONCURRENT", 40)
    assert alb_function.run(stack).facts == {
        "binary bytes": 102_400,
        "cookies": 2,
        "largest text": 900_000,
        "error statuses": "400, 404, 405, 415, 422",
        "concurrent clients": 40,
        "target health": "healthy",
    }
    assert alb_function.leftovers(stack) == []


@pytest.mark.full
def test_of_200_concurrent_requests_none_is_lost(stack: DeployedStack) -> None:
    assert alb_function.run(stack).facts["concurrent clients"] == 200
    assert alb_function.leftovers(stack) == []


@pytest.mark.full
def test_of_40_concurrent_invocations_none_is_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each request in an execution environment of its own."""
    monkeypatch.setenv("LOCALAWS_ALB_INVOCATIONS", "40")
    monkeypatch.setattr(alb_function, "CONCURRENT", 40)
    monkeypatch.setattr(endpoints, "TIMEOUT", 300)
    with LocalAws() as aws:
        stack = DeployedStack("alb-function", deploy("alb-function", aws, tmp_path), aws.session)
        assert alb_function.run(stack).facts["concurrent clients"] == 40


def test_malformed_responses_are_clean_errors_and_single_value_headers_work(
    stack: DeployedStack, faults: Faults
) -> None:
    facts = alb_function.drill(stack, faults).facts
    assert facts == {"malformed responses": 10, "lines of a repeated header": 1}
    assert alb_function.leftovers(stack) == []
