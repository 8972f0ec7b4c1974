"""The canary alias, deployed with the real CDK CLI, and released to callers who never stop."""

from __future__ import annotations

import pytest

from localaws import LocalAws
from scenarios.delivery import canary_alias
from scenarios.faults import Faults
from scenarios.framework import DeployedStack, Story
from tasks.demo import check_dropped, deploy

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def stack(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> DeployedStack:
    folder = tmp_path_factory.mktemp("canary-alias")
    outputs = deploy("canary-alias", local_aws, folder)
    return DeployedStack("canary-alias", outputs, local_aws.session, out=folder / "out")


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), canary_alias.ACCEPTED_NOT_EMULATED)


def test_callers_get_the_version_that_the_alias_points_at(stack: DeployedStack) -> None:
    outcome = canary_alias.run(stack)
    assert "every price was right" in outcome.story[0]


def test_a_release_that_a_smoke_case_finds_never_meets_a_caller(stack: DeployedStack) -> None:
    story = Story("", print)
    canary_alias.refuse_what_a_smoke_case_finds(stack, story)


def test_a_good_release_reaches_all_callers_over_a_canary(stack: DeployedStack) -> None:
    story = Story("", print)
    canary_alias.release_a_good_one(stack, story)
    assert any('"TargetVersion": "2"' in line or '"TargetVersion"' in line for line in story.outcome().story)


@pytest.mark.full
def test_all_of_it(stack: DeployedStack, local_aws: LocalAws) -> None:
    canary_alias.drill(stack, Faults(local_aws.session))
