"""Cognito triggers, deployed by the real CDK CLI onto the embedded AWS, with IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import DeployedStack, Outcome, ScenarioFailed
from scenarios.identity import cognito_triggers
from scenarios.support.faults import Faults

pytestmark = pytest.mark.local


def test_other_domains_are_refused_and_tokens_are_verified(outcome: Outcome) -> None:
    assert (outcome.facts["refused"], outcome.facts["verified_tokens"]) == (1, 4)


def test_each_trigger_fails_in_its_way(drilled: Outcome) -> None:
    assert drilled.facts == {
        "users_without_trigger": 0,
        "profiles_after_login": 1,
        "repeated_events": 2,
        "logins_without_record": 1,
        "tokens_without_plan": 0,
        "tokens_of_slow_triggers": 0,
    }


def test_leftovers_are_users_and_profiles(stack: DeployedStack) -> None:
    users = cognito_triggers.Users(stack)
    users.new("lee")
    assert [line.partition(":")[0] for line in cognito_triggers.leftovers(stack)] == ["user", "TableName"]
    users.close()
    assert cognito_triggers.leftovers(stack) == []


def test_a_list_with_another_domain_fails_the_scenario(stack: DeployedStack) -> None:
    function, faults = stack.output("PreSignUpFunctionName"), Faults(stack.session)
    with (
        faults.environment(function, ALLOWED_DOMAINS="example.net,simulator.amazonses.com"),
        pytest.raises(ScenarioFailed, match="the request should have been refused"),
    ):
        cognito_triggers.run(stack)
    assert cognito_triggers.leftovers(stack) == []
