"""What holds for every row, deployed with the real CDK CLI onto the embedded AWS with IAM enforced."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

from localaws import LocalAws
from scenarios.framework import Covered, DeployedStack, Outcome
from scenarios.support.faults import Faults
from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tasks import usage
from tasks.demo import check_dropped
from tasks.verify import scenario_of
from tests.contracts import aws_cli, curl
from tests.contracts.least_privilege import (
    PLANTED,
    named_otherwise,
    physical_role,
    superfluous_grants,
    unused_grants,
    used_by,
)
from tests.contracts.least_privilege_at_deployment import superfluous_at_deployment
from tests.deployed import Deployments

pytestmark = pytest.mark.local

DEPLOYED = [row for row in ARCHITECTURES if row.has_scenario]

every_row = pytest.mark.parametrize("row", DEPLOYED, ids=lambda row: row.id)


@pytest.fixture
def scenario(row: Architecture) -> ModuleType:
    """The row's scenario."""
    return scenario_of(row.id)


@every_row
def test_every_property_of_the_template_is_emulated_or_listed(
    row: Architecture, scenario: ModuleType, stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), scenario.ACCEPTED_NOT_EMULATED)


@every_row
def test_the_scenario_passes_and_leaves_nothing_behind(
    row: Architecture, scenario: ModuleType, stack: DeployedStack, outcome: Outcome
) -> None:
    assert outcome.facts
    assert scenario.leftovers(stack) == []


def drills() -> list[object]:
    """Each row; for `--full` only if its drill takes minutes (``DRILL_IS_LONG`` in its scenario)."""
    long = {row.id for row in DEPLOYED if getattr(scenario_of(row.id), "DRILL_IS_LONG", False)}
    marks = dict.fromkeys(long, pytest.mark.full)
    return [pytest.param(row, marks=marks.get(row.id, ()), id=row.id) for row in DEPLOYED]


@pytest.mark.parametrize("row", drills())
def test_the_failure_drill_passes_and_leaves_nothing_behind(
    row: Architecture, scenario: ModuleType, stack: DeployedStack, drilled: Outcome
) -> None:
    assert drilled.facts
    assert scenario.leftovers(stack) == []


@pytest.mark.breaks
@every_row
def test_one_event_uses_what_is_recorded_for_its_page(
    row: Architecture, stack: DeployedStack, outcome: Outcome, local_aws: LocalAws
) -> None:
    wrong = usage.check(row.id, local_aws, stack, usage.recorded()[row.id])
    remedy = f"if the page should say so: python3 run.py usage {row.id}, then python3 run.py docs"
    assert not wrong, "\n".join([*wrong, remedy])


def covered_roles() -> list[object]:
    """Each role that a scenario covers, with its row."""
    return [
        pytest.param(row, covered, id=f"{row.id}-{covered.role_of}")
        for row in DEPLOYED
        for covered in scenario_of(row.id).ROLES
    ]


@pytest.mark.breaks
@pytest.mark.parametrize(("row", "covered"), covered_roles())
def test_each_grant_of_a_role_is_used(
    row: Architecture,
    covered: Covered,
    stack: DeployedStack,
    outcome: Outcome,
    local_aws: LocalAws,
    deployments: Deployments,
) -> None:
    role = physical_role(stack, covered.role_of)
    grants = Faults(stack.session).grants(role)

    def unused() -> set[str]:
        used = used_by(role, local_aws.used_permissions(), since=deployments.since)
        return unused_grants(grants, covered, used)

    if unused():  # The run of the row does not need all of them.
        covered.scenario(stack)
    assert unused() == set()
    used = used_by(role, local_aws.used_permissions(), since=deployments.since)
    assert named_otherwise(grants, used) == []


@pytest.mark.breaks
@pytest.mark.full
@pytest.mark.parametrize(("row", "covered"), covered_roles())
def test_each_grant_of_a_role_is_needed_and_a_planted_one_is_found(
    row: Architecture, covered: Covered, stack: DeployedStack, local_aws: LocalAws
) -> None:
    assert superfluous_grants(stack, covered, local_aws) == {PLANTED}


@pytest.mark.breaks
@pytest.mark.full
@every_row
def test_each_grant_of_the_roles_of_custom_resources_is_needed(
    row: Architecture, scenario: ModuleType, stack: DeployedStack, local_aws: LocalAws
) -> None:
    superfluous, _ = superfluous_at_deployment(stack, local_aws, scenario.ROLES)
    assert superfluous == []


# It leaves behind what the functions store, so it comes after the tests that look for leftovers.
@pytest.mark.breaks
@pytest.mark.full
@every_row
def test_the_aws_cli_invokes_the_function_by_the_command_on_the_page(
    row: Architecture, stack: DeployedStack, local_aws: LocalAws, tmp_path: Path
) -> None:
    aws_cli.install()
    variables = {**os.environ, **local_aws.environment}
    for line in aws_cli.lines_of(row):
        function = stack.output(line.option("--function-name"))
        answer, payload = aws_cli.invoke(line, function, local_aws.endpoint_url, variables, tmp_path)
        assert (answer["StatusCode"], "FunctionError" in answer) == (200, False), payload


@pytest.mark.breaks
@pytest.mark.full
@pytest.mark.parametrize("row", [row for row in DEPLOYED if curl.blocks_of(row)], ids=lambda row: row.id)
def test_curl_gets_an_answer_by_the_commands_on_the_page(
    row: Architecture, stack: DeployedStack, local_aws: LocalAws, tmp_path: Path
) -> None:
    if not curl.is_new_enough():
        pytest.skip("there is no curl that can sign on this machine")
    aws_cli.install()
    for block in curl.blocks_of(row):
        assert curl.run(block, stack.outputs, local_aws, tmp_path)
