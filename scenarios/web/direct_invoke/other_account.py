"""A caller in another account: with each combination of its identity policy and the function's policy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import DeployedStack, Story, require
from scenarios.support.accounts import ADMIN, assume, member
from scenarios.web.direct_invoke.charges import Charges

ACTION = "lambda:InvokeFunction"
_NOT_OURS = "o-0000000000"


def take_policies_away(stack: DeployedStack, charges: Charges, story: Story) -> None:
    """Identity AND resource policy: with either of them only, another account is refused."""
    organization, account = member(stack)
    admin = assume(stack, ADMIN.format(account))
    alias = stack.output("AliasArn")
    statements: dict[str, Mapping[str, str]] = {
        "no statement": {},
        "a statement for the account": {"Principal": account},
        "a statement for the organization": {"Principal": "*", "PrincipalOrgID": organization},
        "a statement for another organization": {"Principal": "*", "PrincipalOrgID": _NOT_OURS},
    }
    for what, statement in statements.items():
        for identity in (True, False):
            allowed, key = alias if identity else None, charges.key()
            with _caller(stack, account, admin, allowed) as client, _statement(stack, statement):
                payload = json.dumps({**charges.request(), "idempotency_key": key})
                try:
                    client.invoke(FunctionName=alias, Payload=payload)
                    seen = "booked"
                except ClientError as error:
                    seen = error.response["Error"]["Code"]
                admitted = identity and statement.get("Principal") and _NOT_OURS not in statement.values()
                require(seen == ("booked" if admitted else "AccessDeniedException"), f"{what}: {seen}")
                require((charges.booked(key) is not None) == (seen == "booked"), f"{what}: booked wrongly")
                with_identity = "with" if identity else "without"
                story.fact(f"{what}, {with_identity} identity policy", seen)
                story.say(f"Another account, {with_identity} an identity policy, {what}: {seen}.")


@contextmanager
def _caller(stack: DeployedStack, account: str, admin: dict[str, Any], allowed: str | None) -> Iterator[Any]:
    """A client of a new role in an account, whose policy allows it to invoke one function or nothing."""
    iam, name = stack.session.client("iam", **admin), f"caller-{uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    try:
        if allowed:
            statement = {"Effect": "Allow", "Action": ACTION, "Resource": allowed}
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=_policy(statement))
        yield stack.session.client("lambda", **assume(stack, role, **admin))
    finally:
        if allowed:
            iam.delete_role_policy(RoleName=name, PolicyName="own")
        iam.delete_role(RoleName=name)


@contextmanager
def _statement(stack: DeployedStack, statement: Mapping[str, str]) -> Iterator[None]:
    """Add a statement to the alias's policy while the body runs."""
    if not statement:
        yield
        return
    client, sid = stack.client("lambda"), f"drill{uuid4().hex[:8]}"
    named = {"FunctionName": stack.output("AliasArn"), "StatementId": sid}
    client.add_permission(**named, Action=ACTION, **statement)
    try:
        yield
    finally:
        client.remove_permission(**named)


def _policy(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
