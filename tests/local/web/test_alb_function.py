"""The notes service behind its load balancer, deployed with the real CDK CLI and driven over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack, Outcome
from scenarios.support import endpoints
from scenarios.web import alb_function
from tasks.demo import deploy

pytestmark = pytest.mark.local


def test_requests_of_every_kind_are_answered_and_none_of_200_concurrent_ones_is_lost(
    outcome: Outcome,
) -> None:
    assert outcome.facts == {
        "binary bytes": 102_400,
        "cookies": 2,
        "largest text": 900_000,
        "error statuses": "400, 404, 405, 415, 422",
        "concurrent clients": 200,
        "target health": "healthy",
    }


@pytest.mark.full
def test_of_40_concurrent_invocations_none_is_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each request in an execution environment of its own.

    All of them start at once: on a busy machine that takes longer than function and load balancer wait.
    """
    monkeypatch.setenv("LOCALAWS_ALB_INVOCATIONS", "40")
    monkeypatch.setattr(alb_function, "CONCURRENT", 40)
    monkeypatch.setattr(endpoints, "TIMEOUT", 300)
    with LocalAws() as aws:
        stack = DeployedStack("alb-function", deploy("alb-function", aws, tmp_path), aws.session)
        name = stack.output("FunctionName")
        stack.client("lambda").update_function_configuration(FunctionName=name, Timeout=300)
        (balancer,) = stack.client("elbv2").describe_load_balancers()["LoadBalancers"]
        stack.client("elbv2").modify_load_balancer_attributes(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "300"}],
        )
        assert alb_function.run(stack).facts["concurrent clients"] == 40


def test_malformed_responses_are_clean_errors_and_single_value_headers_work(drilled: Outcome) -> None:
    assert drilled.facts == {"malformed responses": 10, "lines of a repeated header": 1}
