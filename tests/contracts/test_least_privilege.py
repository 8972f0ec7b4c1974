"""How a grant that nothing needs is found among those that a role has used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localaws import Explanation, Used
from localaws.explanations import Grant as Missing
from scenarios.framework import Covered, ScenarioFailed
from scenarios.support.faults import Grant
from tests.contracts.least_privilege import (
    PLANTED,
    check_explained,
    named_otherwise,
    unused_grants,
    used_by,
)

TABLE, BUCKET = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders", "arn:aws:s3:::photos"
ROLE = "arn:aws:sts::123456789012:assumed-role/Orders-1"

PUT = Grant("Orders-1", "Default", 0, "dynamodb:PutItem", (TABLE,))
READ = Grant("Orders-1", "Default", 1, "s3:GetObject*", (f"{BUCKET}/in/*", f"{BUCKET}/out/*"))
LOGS = Grant("Orders-1", "Default", 2, "logs:PutLogEvents", ("*",))


def unused(grants: list[Grant], *used: tuple[str, str], only_for_failures: str = "") -> set[str]:
    covered = Covered("Name", lambda stack: None, only_for_failures=frozenset({only_for_failures}))
    return unused_grants(grants, covered, [Used(ROLE, action, resource) for action, resource in used])


def test_a_grant_is_needed_if_what_it_allows_was_used() -> None:
    assert (
        unused([PUT, READ, LOGS], ("dynamodb:PutItem", TABLE), ("s3:GetObject", f"{BUCKET}/in/a.jpg"))
        == set()
    )


@pytest.mark.parametrize(
    "used",
    [
        (),
        (("dynamodb:GetItem", TABLE),),
        (("dynamodb:PutItem", f"{TABLE}/index/ByDay"),),
        (("dynamodb:PutItem", "*"),),
    ],
    ids=["nothing", "another_action", "another_resource", "all_resources"],
)
def test_a_grant_of_which_nothing_was_used_is_found(used: tuple[tuple[str, str], ...]) -> None:
    assert unused([PUT], *used) == {"dynamodb:PutItem"}


def test_a_policy_variable_stands_for_the_value_of_the_caller() -> None:
    own = Grant(
        "User", "Default", 0, "s3:GetObject", (f"{BUCKET}/${{cognito-identity.amazonaws.com:sub}}/*",)
    )
    assert unused([own], ("s3:GetObject", f"{BUCKET}/us-east-1:1/a")) == set()
    assert unused([own], ("s3:GetObject", "arn:aws:s3:::other/us-east-1:1/a")) == {"s3:GetObject"}


def test_a_planted_grant_is_found() -> None:
    planted = Grant("Orders-1", "planted", 0, PLANTED, ("*",))
    assert unused([PUT, planted], ("dynamodb:PutItem", TABLE)) == {PLANTED}


def test_a_grant_is_not_needed_for_what_another_one_allows_as_well() -> None:
    wide = Grant("Orders-1", "Default", 3, "dynamodb:*", ("*",))
    assert unused([PUT, wide], ("dynamodb:PutItem", TABLE)) == {"dynamodb:PutItem", "dynamodb:*"}
    assert unused([PUT, wide], ("dynamodb:PutItem", TABLE), ("dynamodb:GetItem", TABLE)) == {
        "dynamodb:PutItem"
    }


def test_what_only_a_failure_needs_is_not_asked_for() -> None:
    assert unused([PUT], only_for_failures="dynamodb:PutItem") == set()


def test_only_the_role_and_only_what_came_after_the_deployment_counts() -> None:
    early, late = Used(ROLE, "s3:GetObject", BUCKET, 1, 10.0), Used(ROLE, "s3:PutObject", BUCKET, 1, 30.0)
    other = Used(f"{ROLE}2", "s3:PutObject", BUCKET, 1, 30.0)
    assert used_by("Orders-1", [early, late, other], since=20.0) == [late]


def test_a_use_that_an_explanation_would_name_by_a_wider_resource_is_found() -> None:
    one_object = Grant("Orders-1", "Default", 3, "s3:PutObject", (f"{BUCKET}/out/result.json",))
    used = [
        Used(ROLE, "s3:GetObject", f"{BUCKET}/in/a.jpg"),
        Used(ROLE, "s3:PutObject", one_object.resources[0]),
    ]
    assert named_otherwise([READ], used) == []
    assert named_otherwise([READ, one_object], used) == [f"s3:PutObject on {BUCKET}/out/*"]


def explained(*missing: Missing) -> Explanation:
    return Explanation(f"{ROLE}/now", "dynamodb:PutItem", TABLE, "why", grants=missing)


NAMED = Missing("identity policy", ("dynamodb:PutItem",), (TABLE,), "code")


@pytest.mark.parametrize(
    "found",
    [
        [],
        [explained()],
        [explained(NAMED, NAMED)],
        [explained(replace(NAMED, layer="resource policy"))],
        [explained(replace(NAMED, actions=("dynamodb:PutItem", "dynamodb:GetItem")))],
        [explained(replace(NAMED, resources=("*",)))],
        [replace(explained(NAMED), principal=f"{ROLE}-2/now")],
    ],
    ids=["none", "no_grant", "two", "another_policy", "more_actions", "all_resources", "another_role"],
)
def test_an_explanation_that_names_another_grant_is_found(found: list[Explanation]) -> None:
    check_explained(PUT, [explained(NAMED)])
    with pytest.raises(ScenarioFailed, match="the explanations name"):
        check_explained(PUT, found)
