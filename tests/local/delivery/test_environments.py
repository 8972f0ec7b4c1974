"""The environments, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from scenarios.delivery import environments
from scenarios.delivery.environments.aliases import ENVIRONMENTS, Aliases
from scenarios.delivery.environments.deployments import Deployments
from scenarios.framework import DeployedStack, ScenarioFailed
from scenarios.support.endpoints import Endpoint
from scenarios.support.faults import Faults

pytestmark = pytest.mark.local


def test_each_environment_runs_the_version_of_its_alias(stack: DeployedStack) -> None:
    facts = environments.run(stack).facts
    targets = Aliases(stack).targets()
    assert {name: facts[name] for name in ENVIRONMENTS} == {
        name: one.version for name, one in targets.items()
    }
    assert facts["URL of prod"] == targets["prod"].version


def test_a_drill_restores_the_stack_and_can_be_repeated(stack: DeployedStack, faults: Faults) -> None:
    before = Aliases(stack).quote("prod")
    for _ in range(2):
        facts = environments.drill(stack, faults, calls=50).facts
        assert facts["calls of the weighted alias"] == 50
        assert facts["rolled back"] == 5
        assert facts["promoted"] != before["version"]
        assert Aliases(stack).quote("prod") == before
        # All versions of the drill are deleted but the one that repeats the first version, which dev follows.
        newest = Aliases(stack).target("dev").version
        assert Aliases(stack).versions().keys() == {before["version"], newest}


def test_a_wrong_weight_fails_the_scenario(stack: DeployedStack, faults: Faults) -> None:
    class WrongWeight(Deployments):
        """Deploys a much smaller weight than requested."""

        def point(self, name: str, version: str, weights: Mapping[str, str] | None = None) -> None:
            super().point(name, version, dict.fromkeys(weights or {}, "0.0001"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environments, "Deployments", WrongWeight)
        with pytest.raises(ScenarioFailed, match="in all but one of a million runs"):
            environments.drill(stack, faults, calls=200)


def test_the_url_of_prod_rejects_an_unsigned_request(stack: DeployedStack) -> None:
    url = stack.output("ProdUrl").rstrip("/")
    response = Endpoint.of(stack, url).request("POST", "/", body=b'{"grams": 1200}')
    assert response.status == 403
