"""Reads encrypted variables as three people, rotates a secret, and takes the key away."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import (
    BilledEvent,
    Covered,
    DeployedStack,
    NotYet,
    Outcome,
    ScenarioFailed,
    Story,
    require,
)
from scenarios.support.faults import Faults
from scenarios.support.other_account import assume

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_TOO_LARGE = "x" * 4096


def run(stack: DeployedStack) -> Outcome:
    """Only who may use the key reads the variables, no variable holds the secret, and a new secret is used.

    Raises:
        ScenarioFailed: A reader saw too much or too little, or a link has a wrong signature.
    """
    story = Story("Encrypted variables, and a secret by reference", stack.tell)
    with story.timed("a signed link"):
        require(_is_signed(stack, _link(stack), _secret(stack)), "the link has a wrong signature")
    shown = _environment(stack, "Operator")
    variables = shown.get("Variables", {})
    require(variables.get("SIGNING_KEY") == stack.output("SigningKeyArn"), f"the operator sees {shown}")
    require(_secret(stack) not in json.dumps(shown), "a variable contains the secret")
    story.fact("operator", len(variables))
    story.say(f"The operator, who may use the key, reads {len(variables)} variables; the secret is an ARN.")
    refused = _environment(stack, "Auditor").get("Error", {}).get("ErrorCode")
    require(refused == "AccessDeniedException", f"the auditor sees {_environment(stack, 'Auditor')}")
    story.fact("auditor", refused)
    story.say(f"The auditor, who may read the configuration only, gets {refused} in place of them.")
    revision = _configuration(stack)["RevisionId"]
    _rotate(stack)
    stack.wait_until(lambda: _signed_by_now(stack), "a link with the new secret")
    require(_configuration(stack)["RevisionId"] == revision, "the function was changed")
    story.say("The secret was rotated: new links have its signature, without a deployment.")
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Sign a link with the newest secret, which uses every permission of the function.

    Raises:
        ScenarioFailed: The link was not signed with it.
    """
    _rotate(stack)
    stack.wait_until(lambda: _signed_by_now(stack), "a link with the new secret")


def operator(stack: DeployedStack) -> None:
    """Read the variables as the operator.

    Raises:
        ScenarioFailed: They were refused.
    """
    shown = _environment(stack, "Operator")
    require("Variables" in shown, f"the operator sees {shown}")


def auditor(stack: DeployedStack) -> None:
    """Read the configuration as the auditor.

    Raises:
        ScenarioFailed: It was refused, or has the variables.
    """
    shown = _environment(stack, "Auditor")
    require("Error" in shown, f"the auditor sees {shown}")


EVENT = BilledEvent("a link is signed, with the secret in memory", lambda stack: _link(stack))

ROLES = (
    Covered("FunctionName", smoke),
    Covered("OperatorRoleArn", operator, function="FunctionName"),
    Covered("AuditorRoleArn", auditor, function="FunctionName"),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the published versions of the function: only a drill makes them."""
    found = stack.client("lambda").list_versions_by_function(FunctionName=stack.output("FunctionName"))
    return [f"version: {one['Version']}" for one in found["Versions"] if one["Version"] != "$LATEST"]


def drill(stack: DeployedStack, _faults: Faults) -> Outcome:
    """Disable the key, then revoke the grant: what runs goes on, and nothing new starts until it is back.

    Raises:
        ScenarioFailed: A function ran without its variables, or did not run again.
    """
    story = Story("The key is taken away", stack.tell)
    kms, key = stack.client("kms"), stack.output("KeyArn")
    with _two_versions(stack) as (first, second):
        _link(stack)
        kms.disable_key(KeyId=key)
        try:
            _link(stack)
            refused = _refusal(stack, first)
        finally:
            kms.enable_key(KeyId=key)
        require(refused == "KMSDisabledException", f"with a disabled key a new environment got {refused}")
        story.fact("disabled", refused)
        story.say(f"Key disabled: the running environment still answers, a new one gets {refused}.")
        _link(stack, first)
        story.say("Key enabled: the new one starts.")
        _revoke_grants(stack)
        _link(stack, first)
        refused = _refusal(stack, second)
        require(refused == "KMSAccessDeniedException", f"without a grant a new environment got {refused}")
        story.fact("revoked", refused)
        story.say(f"Grant of the role revoked: a new environment gets {refused}.")
        stack.client("lambda").update_function_configuration(
            FunctionName=stack.output("FunctionName"), KMSKeyArn=key
        )
        _link(stack, second)
        story.say("The key set once more: Lambda grants the use of it again, and that environment starts.")
    refused = _too_large(stack)
    require(refused == "InvalidParameterValueException", f"more than 4 KB of variables: {refused}")
    story.fact("too large", refused)
    story.say(f"4,096 bytes more than the variables have: {refused}.")
    return story.outcome()


def _link(stack: DeployedStack, qualifier: str = "$LATEST", order: str = "A-17") -> str:
    answer = stack.client("lambda").invoke(
        FunctionName=stack.output("FunctionName"),
        Qualifier=qualifier,
        Payload=json.dumps({"order": order}),
    )
    result = json.loads(answer["Payload"].read())
    require("FunctionError" not in answer, f"version {qualifier} failed: {result}")
    return str(result["link"])


def _refusal(stack: DeployedStack, qualifier: str) -> str:
    try:
        _link(stack, qualifier)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "an answer"


def _secret(stack: DeployedStack) -> str:
    found = stack.client("secretsmanager").get_secret_value(SecretId=stack.output("SigningKeyArn"))
    return str(found["SecretString"])


def _rotate(stack: DeployedStack) -> None:
    stack.client("secretsmanager").put_secret_value(
        SecretId=stack.output("SigningKeyArn"), SecretString=uuid4().hex + uuid4().hex
    )


def _is_signed(stack: DeployedStack, link: str, secret: str) -> bool:
    query = parse_qs(urlsplit(link).query)
    expected = hmac.new(secret.encode(), query["order"][0].encode(), "sha256").hexdigest()
    return query["signature"] == [expected]


def _signed_by_now(stack: DeployedStack) -> None:
    if not _is_signed(stack, _link(stack), _secret(stack)):
        raise NotYet("a link with the signature of the old secret")


def _environment(stack: DeployedStack, person: str) -> dict[str, Any]:
    client = stack.session.client("lambda", **assume(stack, stack.output(f"{person}RoleArn")))
    try:
        seen = client.get_function_configuration(FunctionName=stack.output("FunctionName"))
    except ClientError as error:
        raise ScenarioFailed(f"{person}: {error}") from error
    return dict(seen["Environment"])


def _configuration(stack: DeployedStack) -> dict[str, Any]:
    return dict(stack.client("lambda").get_function_configuration(FunctionName=stack.output("FunctionName")))


@contextmanager
def _two_versions(stack: DeployedStack) -> Iterator[tuple[str, str]]:
    """Two versions of which no environment runs yet."""
    client, function = stack.client("lambda"), stack.output("FunctionName")
    versions: list[str] = []
    original = _configuration(stack).get("Description", "")
    try:
        for text in (f"{original} 1", f"{original} 2"):
            client.update_function_configuration(FunctionName=function, Description=text)
            client.get_waiter("function_updated_v2").wait(FunctionName=function)
            versions.append(client.publish_version(FunctionName=function)["Version"])
        client.update_function_configuration(FunctionName=function, Description=original)
        client.get_waiter("function_updated_v2").wait(FunctionName=function)
        yield versions[0], versions[1]
    finally:
        for version in versions:
            client.delete_function(FunctionName=function, Qualifier=version)


def _revoke_grants(stack: DeployedStack) -> None:
    client, key, role = stack.client("kms"), stack.output("KeyArn"), _configuration(stack)["Role"]
    grants = client.list_grants(KeyId=key, GranteePrincipal=role)["Grants"]
    require(bool(grants), f"Lambda gave {role} no grant")
    for grant in grants:
        client.revoke_grant(KeyId=key, GrantId=grant["GrantId"])


def _too_large(stack: DeployedStack) -> str:
    variables = _configuration(stack)["Environment"]["Variables"]
    try:
        stack.client("lambda").update_function_configuration(
            FunctionName=stack.output("FunctionName"),
            Environment={"Variables": {**variables, "MORE": _TOO_LARGE}},
        )
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "accepted"
