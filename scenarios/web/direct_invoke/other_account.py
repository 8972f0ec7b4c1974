"""A caller in another account: with each combination of its identity policy and the function's policy."""

from __future__ import annotations

import json
from collections.abc import Mapping

from botocore.exceptions import ClientError

from scenarios.framework import DeployedStack, Story, require
from scenarios.support.other_account import administrator_of, caller, make_member, permissions
from scenarios.web.direct_invoke.charges import Charges

ACTION = "lambda:InvokeFunction"
_NOT_OURS = "o-0000000000"


def take_policies_away(stack: DeployedStack, charges: Charges, story: Story) -> None:
    """Identity AND resource policy: with either of them only, another account is refused."""
    organization, account = make_member(stack)
    admin = administrator_of(stack, account)
    alias = stack.output("AliasArn")
    statements: dict[str, Mapping[str, str]] = {
        "no statement": {},
        "a statement for the account": {"Principal": account},
        "a statement for the organization": {"Principal": "*", "PrincipalOrgID": organization},
        "a statement for another organization": {"Principal": "*", "PrincipalOrgID": _NOT_OURS},
    }
    for what, statement in statements.items():
        for identity in (True, False):
            own = [{"Effect": "Allow", "Action": ACTION, "Resource": alias}] if identity else []
            added, key = [{"Action": ACTION, **statement}] if statement else [], charges.key()
            with caller(stack, account, admin, *own) as credentials, permissions(stack, alias, *added):
                client = stack.session.client("lambda", **credentials)
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
