"""Faults that drills inject into a stack on the embedded AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3

from scenarios.framework import NotYet, require, wait_until


@dataclass(frozen=True)
class Grant:
    """A single action that a statement in an inline policy of a role allows."""

    role: str
    policy: str
    statement: int
    action: str
    resources: tuple[str, ...] = ()


class Faults:
    """Breaks things on purpose, and repairs them afterwards.

    Never used in a real account: there it takes a while until a removed permission has an effect, and a
    scenario that is interrupted would not restore it.
    """

    def __init__(self, session: boto3.Session) -> None:
        self._iam: Any = session.client("iam")
        self._lambda: Any = session.client("lambda")

    def role_of(self, function: str) -> str:
        """Return the name of a function's execution role."""
        configuration = self._lambda.get_function_configuration(FunctionName=function)
        role: str = configuration["Role"].rpartition("/")[2]
        return role

    def grants(self, role: str) -> list[Grant]:
        """Return everything that the inline policies of a role allow, action by action."""
        return [
            Grant(role, policy, index, action, tuple(_as_list(statement.get("Resource", []))))
            for policy in self._iam.list_role_policies(RoleName=role)["PolicyNames"]
            for index, statement in enumerate(self._document(role, policy)["Statement"])
            if statement["Effect"] == "Allow"
            for action in _as_list(statement.get("Action", []))
        ]

    @contextmanager
    def without(self, *removed: Grant) -> Iterator[None]:
        """Remove these grants while the body runs."""
        names = {(grant.role, grant.policy) for grant in removed}
        originals = {(role, policy): self._document(role, policy) for role, policy in names}
        try:
            for (role, policy), original in originals.items():
                mine = {
                    (one.statement, one.action) for one in removed if (one.role, one.policy) == (role, policy)
                }
                self._put(role, policy, _without(original, mine))
            yield
        finally:
            for (role, policy), original in originals.items():
                self._put(role, policy, original)

    @contextmanager
    def without_permission(self, role: str, action: str) -> Iterator[None]:
        """Remove every grant of an action from a role while the body runs.

        Raises:
            ScenarioFailed: The role has no such permission, so removing it would prove nothing.
        """
        grants = [grant for grant in self.grants(role) if grant.action == action]
        require(bool(grants), f"role {role} has no permission {action} that could be removed")
        with self.without(*grants):
            yield

    @contextmanager
    def environment(self, function: str, **variables: str) -> Iterator[None]:
        """Change environment variables of a function while the body runs."""
        original = self._lambda.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        try:
            self._configure(function, {**original, **variables})
            yield
        finally:
            self._configure(function, original)

    @contextmanager
    def not_admitting(self, function: str, service: str) -> Iterator[None]:
        """Withdraw a service's permission to invoke a function while the body runs.

        Raises:
            ScenarioFailed: The function's policy does not allow the service to invoke it.
        """
        policy = json.loads(self._lambda.get_policy(FunctionName=function)["Policy"])
        mine = [one for one in policy["Statement"] if one["Principal"] == {"Service": service}]
        require(bool(mine), f"the policy of {function} does not allow {service} to invoke it")
        for one in mine:
            self._lambda.remove_permission(FunctionName=function, StatementId=one["Sid"])
        try:
            yield
        finally:
            for one in mine:
                account = one["Condition"].get("StringEquals", {}).get("AWS:SourceAccount")
                via_url = "lambda:InvokedViaFunctionUrl" in one["Condition"].get("Bool", {})
                self._lambda.add_permission(
                    FunctionName=function,
                    StatementId=one["Sid"],
                    Action=one["Action"],
                    Principal=service,
                    SourceArn=one["Condition"]["ArnLike"]["AWS:SourceArn"],
                    **({"SourceAccount": account} if account else {}),
                    **({"InvokedViaFunctionUrl": True} if via_url else {}),
                )

    def _configure(self, function: str, variables: Mapping[str, str]) -> None:
        self._lambda.update_function_configuration(
            FunctionName=function, Environment={"Variables": variables}
        )

        def check() -> None:
            status = self._lambda.get_function_configuration(FunctionName=function)["LastUpdateStatus"]
            if status != "Successful":
                raise NotYet(status)

        wait_until(check, what=f"update of {function}", timeout=60)

    def _document(self, role: str, policy: str) -> dict[str, Any]:
        answer = self._iam.get_role_policy(RoleName=role, PolicyName=policy)
        document: dict[str, Any] = answer["PolicyDocument"]
        return {**document, "Statement": _as_list(document["Statement"])}

    def _put(self, role: str, policy: str, document: Mapping[str, Any]) -> None:
        if document["Statement"]:
            self._iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
        else:  # IAM rejects a policy without a statement
            self._iam.delete_role_policy(RoleName=role, PolicyName=policy)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _without(document: Mapping[str, Any], removed: set[tuple[int, str]]) -> dict[str, Any]:
    """Return the policy without some actions, and without statements that have no action left."""
    statements = []
    for index, statement in enumerate(document["Statement"]):
        if "Action" not in statement:  # NotAction: no single action that could be removed
            statements.append(statement)
            continue
        actions = [one for one in _as_list(statement["Action"]) if (index, one) not in removed]
        if actions:
            statements.append({**statement, "Action": actions})
    return {**document, "Statement": statements}
