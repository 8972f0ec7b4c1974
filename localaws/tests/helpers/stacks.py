"""Small stacks: CloudFormation without the CDK CLI."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import boto3

from localaws import LocalAws
from localaws.server.clients import make_session

_SECONDS = 60
Resources = dict[str, dict[str, Any]]


class DeploymentFailedError(Exception):
    """A stack operation failed; the message has CloudFormation's reasons."""


@dataclass
class Stack:
    """A deployed stack.

    Args:
        aws: A running embedded AWS.
        name: The stack's name.
        region: The stack's region, if it is not that of `aws`.
    """

    aws: LocalAws
    name: str
    region: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)

    def deploy(self, template: dict[str, Any], operation: str = "create_stack") -> Stack:
        """Create the stack and wait; raises with the reasons when that fails."""
        arguments = {"StackName": self.name, "TemplateBody": json.dumps(template)}
        getattr(self._client, operation)(**arguments, Capabilities=["CAPABILITY_NAMED_IAM"])
        described = self._wait(self.name)
        if described["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise DeploymentFailedError(self._reasons(described["StackId"]))
        self.outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in described.get("Outputs", [])}
        return self

    def update(self, resources: Resources, outputs: dict[str, Any] | None = None) -> Stack:
        """Update the stack with other resources, and wait."""
        return self.deploy(template(resources, outputs), "update_stack")

    def delete(self) -> None:
        """Delete the stack and wait; raises with the reasons when that fails."""
        stack_id = self._client.describe_stacks(StackName=self.name)["Stacks"][0]["StackId"]
        self._client.delete_stack(StackName=self.name)
        if self._wait(stack_id)["StackStatus"] != "DELETE_COMPLETE":
            raise DeploymentFailedError(self._reasons(stack_id))

    @property
    def _client(self) -> Any:
        if self.region is None:
            return self.aws.client("cloudformation")
        return self.aws.session.client("cloudformation", region_name=self.region)

    def _wait(self, name: str) -> dict[str, Any]:
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            described: dict[str, Any] = self._client.describe_stacks(StackName=name)["Stacks"][0]
            if not described["StackStatus"].endswith("_IN_PROGRESS"):
                return described
            time.sleep(0.02)
        raise DeploymentFailedError(f"{name}: still {described['StackStatus']} after {_SECONDS} s")

    def _reasons(self, stack_id: str) -> str:
        events = self._client.describe_stack_events(StackName=stack_id)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
        return "\n".join(
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed
        )


def template(resources: Resources, outputs: dict[str, Any] | None = None) -> dict[str, Any]:
    """A template."""
    described = {name: {"Value": value} for name, value in (outputs or {}).items()}
    return {"Resources": resources, "Outputs": described}


def deploy(aws: LocalAws, resources: Resources, outputs: dict[str, Any] | None = None) -> Stack:
    """Deploy resources as a new stack."""
    return Stack(aws, f"stack-{uuid.uuid4().hex[:8]}").deploy(template(resources, outputs))


def ref(logical_id: str) -> dict[str, str]:
    """A reference to a resource."""
    return {"Ref": logical_id}


def arn(logical_id: str) -> dict[str, list[str]]:
    """The ARN of a resource."""
    return {"Fn::GetAtt": [logical_id, "Arn"]}


def policy(*allowed: tuple[str, Any]) -> dict[str, Any]:
    """A policy document that allows each action on its resource."""
    statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in allowed]
    return {"Version": "2012-10-17", "Statement": statements}


def trust(service: str) -> dict[str, Any]:
    """A trust policy for a service."""
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}
    return {"Version": "2012-10-17", "Statement": [statement]}


def role(*allowed: tuple[str, Any], service: str = "lambda.amazonaws.com") -> dict[str, Any]:
    """A role for a service that may do each action on its resource."""
    properties: dict[str, Any] = {"AssumeRolePolicyDocument": trust(service)}
    if allowed:
        properties["Policies"] = [{"PolicyName": "own", "PolicyDocument": policy(*allowed)}]
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def function(role_id: str, source: str = "def handler(event, context): pass") -> dict[str, Any]:
    """A Python function with the role of that logical id."""
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": arn(role_id),
            "Code": {"ZipFile": source},
        },
    }


def session_of(
    aws: LocalAws, *allowed: tuple[str, str], condition: dict[str, Any] | None = None
) -> boto3.Session:
    """A session of a new user who may only perform each action on its resource, under a condition."""
    iam, name = aws.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    if allowed:
        document = policy(*allowed)
        for statement in document["Statement"]:
            statement["Condition"] = condition or {}
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return make_session(
        aws.endpoint_url, str(aws.ca_file), key["AccessKeyId"], key["SecretAccessKey"], aws.region
    )
