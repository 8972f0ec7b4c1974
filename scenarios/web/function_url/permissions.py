"""Takes each of the two permissions away, here and for another account, and limits addresses."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from scenarios.framework import DeployedStack, Story, require
from scenarios.support.faults import Faults
from scenarios.support.other_account import administrator_of, caller, make_member, permissions
from scenarios.web.function_url.client import TEXT, Notes

ACTIONS = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")


def take_permissions_away(stack: DeployedStack, faults: Faults, notes: Notes, story: Story) -> None:
    """Without either permission a caller gets 403, and the function is not called."""
    notes.public.expect(200, "GET", "/health")
    before = _invocations(stack)
    require(before > 0, "the metric Invocations counts nothing, so it would prove nothing")
    for action in ACTIONS:
        with _policy_of_public(stack, lambda one, action=action: None if one["Action"] == action else one):
            notes.public.expect_forbidden()
    role, path = stack.output("EditorRoleArn").rpartition("/")[2], notes.path("refused")
    for action in ACTIONS:
        with faults.without_permission(role, action):
            notes.editor.expect_forbidden("PUT", path)
    require(_invocations(stack) == before, "the function was called without permission")
    story.fact("calls without permission", _invocations(stack) - before)
    story.say(f"Took {' and '.join(ACTIONS)} away, one at a time, from everybody and from the editor: 403.")
    notes.public.expect(404, "GET", path)
    _limit_addresses(stack, notes, story)
    _call_from_another_account(stack, notes, story)


def _limit_addresses(stack: DeployedStack, notes: Notes, story: Story) -> None:
    """A condition for `aws:SourceIp`: of everybody in the resource-based policy, of a signer in its own."""
    account = stack.client("sts").get_caller_identity()["Account"]
    for cidr, admitted in (("127.0.0.0/8", True), ("203.0.113.0/24", False)):
        own = {"Effect": "Allow", "Action": list(ACTIONS), "Resource": stack.output("SignedAliasArn")}
        limited = _only_from({**own, "Condition": {}}, cidr)
        with (
            _policy_of_public(stack, lambda one, cidr=cidr: _only_from(one, cidr)),
            caller(stack, account, {}, limited) as credentials,
        ):
            for client in (notes.public, notes.signed_by(stack, credentials)):
                client.expect(200, "GET", "/health") if admitted else client.expect_forbidden()
        story.fact(f"from {cidr}", 200 if admitted else 403)
    story.say("A condition for aws:SourceIp, of everybody or of a signer: 403 from another address.")


def _call_from_another_account(stack: DeployedStack, notes: Notes, story: Story) -> None:
    """Identity AND resource policy, with both actions in each."""
    organization, account = make_member(stack)
    admin, alias = administrator_of(stack, account), stack.output("SignedAliasArn")
    own = [{"Effect": "Allow", "Action": list(ACTIONS), "Resource": alias}]
    both: tuple[dict[str, object], ...] = (
        {"FunctionUrlAuthType": "AWS_IAM"},
        {"InvokedViaFunctionUrl": True},
    )
    for what, whom in (
        ("the account", {"Principal": account}),
        ("the organization", {"Principal": "*", "PrincipalOrgID": organization}),
        ("another organization", {"Principal": "*", "PrincipalOrgID": "o-0000000000"}),
    ):
        added = [{"Action": action, **via, **whom} for action, via in zip(ACTIONS, both, strict=True)]
        for identity, statements in ((own, added), ([], added), (own, added[:1]), (own, [])):
            admitted = bool(identity) and len(statements) == 2 and what != "another organization"
            with caller(stack, account, admin, *identity) as given, permissions(stack, alias, *statements):
                client = notes.signed_by(stack, given)
                if admitted:
                    client.expect(201, "PUT", notes.path(what), TEXT, b"x")
                    story.fact(f"another account, {what}", 201)
                else:
                    client.expect_forbidden()
    story.say("Another account: identity AND resource-based policy, with both actions in each; else 403.")


@contextmanager
def _policy_of_public(stack: DeployedStack, change: Any) -> Iterator[None]:
    """Change each statement of the policy of the public URL, or leave it out, while the body runs."""
    client, arn = stack.client("lambda"), stack.output("PublicAliasArn")
    original = client.get_resource_policy(ResourceArn=arn)["Policy"]
    document = json.loads(original)
    changed = [one for one in map(change, document["Statement"]) if one is not None]
    client.put_resource_policy(ResourceArn=arn, Policy=json.dumps({**document, "Statement": changed}))
    try:
        yield
    finally:
        client.put_resource_policy(ResourceArn=arn, Policy=original)


def _only_from(statement: Mapping[str, Any], cidr: str) -> dict[str, Any]:
    condition = {**statement["Condition"], "IpAddress": {"aws:SourceIp": cidr}}
    return {**statement, "Condition": condition}


def _invocations(stack: DeployedStack) -> int:
    """How often the function has been invoked."""
    now = datetime.datetime.now(datetime.UTC)
    found = stack.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Invocations",
        Dimensions=[{"Name": "FunctionName", "Value": stack.output("FunctionName")}],
        StartTime=now - datetime.timedelta(hours=3),
        EndTime=now + datetime.timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    return int(sum(point["Sum"] for point in found["Datapoints"]))
