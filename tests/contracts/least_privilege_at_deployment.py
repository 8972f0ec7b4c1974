"""Least privilege of the roles that only a deployment uses: those of custom resources.

No scenario needs them, so the deployment is the test: the stack's own template, without one action, is
deployed under another name and deleted again. One of the two must fail, and the explanation of what IAM has
denied meanwhile names the action that is missing.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from localaws import LocalAws
from scenarios.framework import Covered, DeployedStack, NotYet, require, wait_until
from tests.contracts.least_privilege import NOT_ENFORCED
from tests.contracts.roles import role_of, roles_of_custom_resources

_CREATED = {"CREATE_COMPLETE"}
_DELETED = {"DELETE_COMPLETE"}


@dataclass(frozen=True)
class TemplateGrant:
    """One action that a statement in a template allows.

    Args:
        logical_id: The policy or role.
        action: What it allows.
    """

    logical_id: str
    action: str


def superfluous_at_deployment(
    stack: DeployedStack, aws: LocalAws, covered: Iterable[Covered] = ()
) -> tuple[list[TemplateGrant], int]:
    """Deploy and delete the stack's template without each action of the roles of its custom resources.

    Args:
        stack: The deployed stack, on the embedded AWS; its resources must have no fixed names.
        aws: The embedded AWS.
        covered: The roles that a scenario takes apart, which are left out here.

    Returns:
        The grants without which both succeeded, and how many were tried.

    Raises:
        ScenarioFailed: The whole template cannot be deployed and deleted under another name, or no
            explanation names an action that was missing.
    """
    client = stack.client("cloudformation")
    template = client.get_template(StackName=stack.name)["TemplateBody"]
    template = json.loads(template) if isinstance(template, str) else template
    # Otherwise each failure below could have another cause.
    require(_comes_and_goes(stack, f"{stack.name}-whole", template), "the template fails as it is")
    found, tried = [], 0
    others = {role_of(template, one.role_of) for one in covered}
    for grant, mutilated in _without_each(template, others):
        tried, since = tried + 1, time.time()
        if _comes_and_goes(stack, f"{stack.name}-without-{tried}", mutilated):
            found.append(grant)
            continue
        explained = aws.explain(since)
        named = [each for one in explained if len(one.grants) == 1 for each in one.grants]
        require(
            any(one.action == grant.action and one.unmet for one in explained)
            or any((one.layer, one.actions) == ("identity policy", (grant.action,)) for one in named),
            f"without {grant}, the explanations name {named}",
        )
    return found, tried


def _without_each(
    template: dict[str, Any], others: Collection[str]
) -> Iterator[tuple[TemplateGrant, dict[str, Any]]]:
    roles = [{"Ref": role} for role in roles_of_custom_resources(template) if role not in others]
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] != "AWS::IAM::Policy" or resource["Properties"]["Roles"][0] not in roles:
            continue
        for index, statement in enumerate(resource["Properties"]["PolicyDocument"]["Statement"]):
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                if action not in NOT_ENFORCED:
                    mutilated = copy.deepcopy(template)
                    document = mutilated["Resources"][logical_id]["Properties"]["PolicyDocument"]
                    rest = [one for one in actions if one != action] if isinstance(actions, list) else []
                    # A policy needs a statement, and a statement an action: this one changes nothing.
                    document["Statement"][index]["Action"] = rest or "sts:GetCallerIdentity"
                    yield TemplateGrant(logical_id, action), mutilated


def _comes_and_goes(stack: DeployedStack, name: str, template: dict[str, Any]) -> bool:
    client, s3, bucket = stack.client("cloudformation"), stack.client("s3"), f"templates-of-{stack.name}"
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::RDS::DBProxy":  # CloudFormation generates no name for it
            resource["Properties"]["DBProxyName"] = name
    # From a bucket, because a template in the call itself has at most 51,200 bytes.
    s3.create_bucket(Bucket=bucket)  # does nothing if it exists
    s3.put_object(Bucket=bucket, Key=name, Body=json.dumps(template))
    created = client.create_stack(
        StackName=name,
        TemplateURL=f"https://s3.{stack.session.region_name}.amazonaws.com/{bucket}/{name}",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    if _final_state(client, created["StackId"]) not in _CREATED:
        return False
    client.delete_stack(StackName=name)
    return _final_state(client, created["StackId"]) in _DELETED


def _final_state(client: Any, stack_id: str) -> str:
    def check() -> str:
        status: str = client.describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"]
        if status.endswith("_IN_PROGRESS"):
            raise NotYet(status)
        return status

    return wait_until(check, what=f"the end of the operation on {stack_id}", timeout=120)
