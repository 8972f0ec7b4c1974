"""Principals of another account of the organization, for drills on the embedded AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from scenarios.framework import DeployedStack


def make_member(stack: DeployedStack) -> tuple[str, str]:
    """The organization of this account, made if need be, and a new account in it."""
    client = stack.client("organizations")
    try:
        organization = client.create_organization(FeatureSet="ALL")["Organization"]
    except client.exceptions.AlreadyInOrganizationException:
        organization = client.describe_organization()["Organization"]
    made = client.create_account(Email=f"{uuid4().hex}@example.com", AccountName="caller")
    return organization["Id"], made["CreateAccountStatus"]["AccountId"]


def assume(stack: DeployedStack, role: str, **own: Any) -> dict[str, Any]:
    """The credentials of a role, as arguments of a client; assumed with those of another one, if given."""
    sts = stack.session.client("sts", **own)
    given = sts.assume_role(RoleArn=role, RoleSessionName="drill")["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def administrator_of(stack: DeployedStack, account: str) -> dict[str, Any]:
    """The credentials of the administrator of an account that `make_member` made."""
    return assume(stack, f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole")


@contextmanager
def caller(
    stack: DeployedStack, account: str, admin: dict[str, Any], *statements: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The credentials of a new role in an account, with an identity policy of these statements, if any."""
    iam, name = stack.session.client("iam", **admin), f"caller-{uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    try:
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=_policy(*statements))
        yield assume(stack, role, **admin)
    finally:
        if statements:
            iam.delete_role_policy(RoleName=name, PolicyName="own")
        iam.delete_role(RoleName=name)


@contextmanager
def permissions(stack: DeployedStack, function: str, *added: Mapping[str, Any]) -> Iterator[None]:
    """Add statements to the policy of a function or alias while the body runs."""
    client, done = stack.client("lambda"), []
    try:
        for one in added:
            named = {"FunctionName": function, "StatementId": f"drill{uuid4().hex[:8]}"}
            client.add_permission(**named, **one)
            done.append(named)
        yield
    finally:
        for named in done:
            client.remove_permission(**named)


def _policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
