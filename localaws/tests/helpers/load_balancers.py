"""Load balancers in front of small functions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from helpers.http import Endpoint, Headers, HttpResponse
from helpers.stacks import Resources, Stack, arn, deploy, function, ref, role
from localaws import LocalAws

#: Answers with the event that it got.
ECHO = """
import json
def handler(event, context):
    headers = {"content-type": "application/json"}
    field = "multiValueHeaders" if "multiValueHeaders" in event else "headers"
    values = {name: [value] if field == "multiValueHeaders" else value for name, value in headers.items()}
    return {"statusCode": 200, "isBase64Encoded": False, field: values, "body": json.dumps(event)}
"""

OUTPUTS = {
    "Name": {"Fn::GetAtt": ["Balancer", "DNSName"]},
    "Group": ref("Group"),
    "Function": arn("Function"),
    "Balancer": ref("Balancer"),
}


def resources(
    source: str = ECHO,
    *,
    multi_value: bool = True,
    permitted: bool = True,
    target: object = None,
    **group: Any,
) -> Resources:
    """A load balancer that listens on port 80 and forwards everything to a function."""
    attributes = [{"Key": "lambda.multi_value_headers.enabled", "Value": str(multi_value).lower()}]
    made: Resources = {
        "Role": role(),
        "Function": function("Role", source),
        "Group": {
            "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
            "Properties": {
                "TargetType": "lambda",
                "Targets": [{"Id": target or arn("Function")}],
                "TargetGroupAttributes": attributes,
                **group,
            },
        },
        "Balancer": {
            "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "Properties": {"Type": "application", "Subnets": ["subnet-00000001", "subnet-00000002"]},
        },
        "Listener": listener(80, {"Type": "forward", "TargetGroupArn": ref("Group")}),
    }
    if permitted:
        made["Permission"] = permission("Function")
        made["Group"]["DependsOn"] = "Permission"
    return made


def listener(port: int, action: dict[str, Any]) -> dict[str, Any]:
    """A listener of the load balancer."""
    return {
        "Type": "AWS::ElasticLoadBalancingV2::Listener",
        "Properties": {
            "LoadBalancerArn": ref("Balancer"),
            "Port": port,
            "Protocol": "HTTP",
            "DefaultActions": [action],
        },
    }


def permission(of: str) -> dict[str, Any]:
    """The permission of the account's load balancers to invoke a function."""
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "FunctionName": arn(of),
            "Action": "lambda:InvokeFunction",
            "Principal": "elasticloadbalancing.amazonaws.com",
            "SourceAccount": ref("AWS::AccountId"),
        },
    }


@dataclass(frozen=True)
class Balanced:
    """A deployed load balancer.

    Args:
        aws: A running embedded AWS.
        stack: The stack, with the outputs above.
    """

    aws: LocalAws
    stack: Stack

    def endpoint(self, *, port: int = 80, host: str | None = None) -> Endpoint:
        """Where requests to a listener go."""
        address = self.aws.address_of_load_balancer(self.stack.outputs["Name"])
        name = address.host if port == 80 else f"{address.host}:{port}"
        return Endpoint.of(address, host or name)

    def send(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> HttpResponse:
        """Send a request to port 80."""
        return self.endpoint().request(method, target, headers=headers, body=body)

    def event(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> dict[str, Any]:
        """Send a request to port 80, and return the event that the function got."""
        answer = self.send(method, target, headers, body)
        assert answer.status == 200, answer.body
        event: dict[str, Any] = json.loads(answer.body)
        return event

    def health(self) -> dict[str, str]:
        """The health of the only target."""
        described = self.aws.client("elbv2").describe_target_health(
            TargetGroupArn=self.stack.outputs["Group"]
        )
        (target,) = described["TargetHealthDescriptions"]
        health: dict[str, str] = target["TargetHealth"]
        return health


def balanced(aws: LocalAws, source: str = ECHO, **arguments: Any) -> Balanced:
    """Deploy a load balancer in front of a function."""
    return Balanced(aws, deploy(aws, resources(source, **arguments), OUTPUTS))
