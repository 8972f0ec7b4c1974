"""Another account of the organization, for drills on the embedded AWS."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from scenarios.framework import DeployedStack

#: The role that Organizations makes in each account that it creates.
ADMIN = "arn:aws:iam::{}:role/OrganizationAccountAccessRole"


def member(stack: DeployedStack) -> tuple[str, str]:
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
