"""What services may do with a role."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.core.responses import request_scope
from ministack.services import iam, sqs

from localaws.services.iam import roles as iam_roles
from localaws.services.iam.roles import role_allows, role_trusts

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service/worker"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:jobs"
SEND = "sqs:SendMessage"


@pytest.fixture(autouse=True)
def _enforced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """IAM enforced as in the server, with an empty account before and after."""
    monkeypatch.setattr(iam_roles, "iam_is_enforced", lambda: True)
    with request_scope(ACCOUNT, "us-east-1"):
        yield
        iam._roles.pop("worker", None)
        iam._policies.pop(f"arn:aws:iam::{ACCOUNT}:policy/limit", None)
        for url in list(sqs._queues):
            sqs._queues.pop(url)


def statement(
    effect: str = "Allow", action: str = SEND, resource: str = QUEUE, **more: object
) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def make_role(*statements: dict[str, Any], principal: Any = None, **more: Any) -> None:
    trusted = principal or {"Service": "lambda.amazonaws.com"}
    assume = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": trusted}
    iam._roles["worker"] = {
        "Arn": ROLE,
        "AssumeRolePolicyDocument": document(assume | more.pop("trust", {})),
        "InlinePolicies": {"own": document(*statements)} if statements else {},
        "AttachedPolicies": [],
        "Tags": [{"Key": "team", "Value": "photos"}],
        **more,
    }


def make_queue(*statements: dict[str, Any]) -> None:
    attributes = {"QueueArn": QUEUE, "Policy": document(*statements)}
    sqs._queues[sqs._queue_url("jobs")] = {"name": "jobs", "attributes": attributes, "messages": []}


def test_a_role_is_allowed_the_action_and_resource_of_its_policy() -> None:
    make_role(statement())
    assert role_allows(ROLE, SEND, QUEUE)
    assert not role_allows(ROLE, SEND, QUEUE + "-other")
    assert not role_allows(ROLE, "sqs:ReceiveMessage", QUEUE)


def test_a_role_without_policies_and_a_role_that_does_not_exist_may_do_nothing() -> None:
    make_role()
    assert not role_allows(ROLE, SEND, QUEUE)
    assert not role_allows(ROLE + "-gone", SEND, QUEUE)


def test_a_deny_wins() -> None:
    make_role(statement(action="sqs:*"), statement("Deny"))
    assert not role_allows(ROLE, SEND, QUEUE)
    assert role_allows(ROLE, "sqs:ReceiveMessage", QUEUE)


def test_the_boundary_limits_the_role() -> None:
    limit = f"arn:aws:iam::{ACCOUNT}:policy/limit"
    allowed = document(statement(action="sqs:ReceiveMessage"))
    iam._policies[limit] = {"DefaultVersionId": "v1", "Versions": {"v1": {"Document": allowed}}}
    make_role(statement(action="sqs:*"), PermissionsBoundary=limit)
    assert role_allows(ROLE, "sqs:ReceiveMessage", QUEUE)
    assert not role_allows(ROLE, SEND, QUEUE)


def test_the_queues_own_policy_is_enough_within_the_account_and_its_deny_wins() -> None:
    make_role()
    make_queue(statement(Principal={"AWS": ROLE}))
    assert role_allows(ROLE, SEND, QUEUE)
    make_role(statement())
    make_queue(statement("Deny", Principal="*"))
    assert not role_allows(ROLE, SEND, QUEUE)


def test_services_call_over_tls() -> None:
    make_role(statement())
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    make_queue(statement("Deny", Principal="*", Condition=insecure))
    assert role_allows(ROLE, SEND, QUEUE)


def test_conditions_have_the_roles_tags_and_the_keys_of_the_service() -> None:
    condition = {"StringEquals": {"aws:PrincipalTag/team": "photos", "aws:SourceAccount": ACCOUNT}}
    make_role(statement(Condition=condition))
    assert not role_allows(ROLE, SEND, QUEUE)
    assert role_allows(ROLE, SEND, QUEUE, {"aws:SourceAccount": ACCOUNT})


def test_a_role_trusts_the_services_that_it_names() -> None:
    make_role(principal={"Service": ["lambda.amazonaws.com", "edgelambda.amazonaws.com"]})
    assert role_trusts(ROLE, "lambda.amazonaws.com")
    assert not role_trusts(ROLE, "ec2.amazonaws.com")
    assert not role_trusts(ROLE + "-gone", "lambda.amazonaws.com")


def test_trust_of_an_account_is_no_trust_of_a_service() -> None:
    make_role(principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    assert not role_trusts(ROLE, "lambda.amazonaws.com")


def test_trust_may_depend_on_the_account() -> None:
    make_role(trust={"Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}}})
    assert role_trusts(ROLE, "lambda.amazonaws.com")
    make_role(trust={"Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}})
    assert not role_trusts(ROLE, "lambda.amazonaws.com")


def test_every_answer_is_yes_without_enforcement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iam_roles, "iam_is_enforced", lambda: False)
    assert role_allows(ROLE, SEND, QUEUE)
    assert role_trusts(ROLE, "ec2.amazonaws.com")
