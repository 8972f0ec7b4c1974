"""A publisher in another account: with each combination of its identity policy and the policy of the bus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.events.event_bus.orders import Orders
from scenarios.framework import DeployedStack, Story, require
from scenarios.support.other_account import administrator_of, caller, make_member

ACTION = "events:PutEvents"
_NOT_OURS = "o-0000000000"


def publish_from_another_account(stack: DeployedStack, orders: Orders, story: Story) -> None:
    """Identity AND bus policy: with either of them only, another account is refused."""
    organization, account = make_member(stack)
    admin, bus = administrator_of(stack, account), stack.output("EventBusArn")
    statements: dict[str, dict[str, Any]] = {
        "no statement": {},
        "a statement for the account": {"Principal": account},
        "a statement for the organization": _of(organization),
        "a statement for another organization": _of(_NOT_OURS),
    }
    accepted = []
    for what, statement in statements.items():
        for identity in (True, False):
            own = [{"Effect": "Allow", "Action": ACTION, "Resource": bus}] if identity else []
            order, admitted = orders.order(), identity and statement not in ({}, _of(_NOT_OURS))
            with caller(stack, account, admin, *own) as credentials, _permission(orders, statement):
                try:
                    orders.put(order, client=stack.session.client("events", **credentials), bus=bus)
                    seen = "published"
                    accepted.append(order)
                except ClientError as error:
                    seen = error.response["Error"]["Code"]
            require(seen == ("published" if admitted else "AccessDeniedException"), f"{what}: {seen}")
            with_identity = "with" if identity else "without"
            story.fact(f"{what}, {with_identity} identity policy", seen)
            story.say(f"Another account, {with_identity} an identity policy, {what}: {seen}.")
    orders.wait_for(*accepted)


def _of(organization: str) -> dict[str, Any]:
    condition = {"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": organization}
    return {"Principal": "*", "Condition": condition}


@contextmanager
def _permission(orders: Orders, statement: dict[str, Any]) -> Iterator[None]:
    """Add a statement to the policy of the bus while the body runs."""
    named = {"EventBusName": orders.bus, "StatementId": f"drill{uuid4().hex[:8]}"}
    if statement:
        orders.events.put_permission(**named, Action=ACTION, **statement)
    try:
        yield
    finally:
        if statement:
            orders.events.remove_permission(**named)
