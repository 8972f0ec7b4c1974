"""The environments, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from localaws import LocalAws
from scenarios.delivery import environments
from scenarios.delivery.environments import Aliases, Deployments
from scenarios.framework import DeployedStack, ScenarioFailed
from scenarios.support.endpoints import Endpoint
from scenarios.support.faults import Faults
from tasks.demo import check_dropped
from tests.local.least_privilege import superfluous, try_without_each

pytestmark = pytest.mark.local


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), environments.ACCEPTED_NOT_EMULATED)


def test_each_environment_reaches_its_version(stack: DeployedStack) -> None:
    outcome = environments.run(stack)
    assert sum("points at version" in line for line in outcome.story) == 3


def test_one_value_promotes_shares_and_takes_back_and_a_wrong_one_changes_nothing(
    stack: DeployedStack, faults: Faults
) -> None:
    before = Aliases(stack).quote("prod")
    outcome = environments.drill(stack, faults)
    assert any("of 1,000 callers" in line for line in outcome.story)
    assert sum("rolled back" in line for line in outcome.story) == 5
    after = Aliases(stack).quote("prod")
    assert after == before
    environments.run(stack)
    # What it published is gone, but for the version that says again what the first one said.
    assert len(Deployments(stack).versions()) == 2


def test_the_drill_can_be_repeated(stack: DeployedStack, faults: Faults) -> None:
    environments.drill(stack, faults, calls=50)


def test_a_share_that_is_not_the_one_asked_for_is_seen(stack: DeployedStack, faults: Faults) -> None:
    class Careless(Deployments):
        """Deploys a much smaller weight than it was told."""

        def point(self, name: str, version: str, weights: Mapping[str, str] | None = None) -> None:
            super().point(name, version, dict.fromkeys(weights or {}, "0.0001"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environments, "Deployments", Careless)
        with pytest.raises(ScenarioFailed, match="but once in a million runs"):
            environments.drill(stack, faults, calls=200)


@pytest.mark.parametrize("role_of", ["FunctionName"])
def test_the_role_has_nothing_to_take_away_and_a_planted_grant_is_found(
    stack: DeployedStack, role_of: str
) -> None:
    findings = try_without_each(stack, stack.output(role_of), environments.smoke, plant="sqs:ReceiveMessage")
    assert [grant.action for grant in superfluous(findings)] == ["sqs:ReceiveMessage"]
    assert len(findings) == 1  # beside what Lambda itself does with the role: logs and traces


def test_the_url_of_prod_refuses_whoever_does_not_sign(stack: DeployedStack) -> None:
    url = stack.output("ProdUrl").rstrip("/")
    answer = Endpoint.of(stack, url).request("POST", "/", body=b'{"grams": 1200}')
    assert answer.status == 403
