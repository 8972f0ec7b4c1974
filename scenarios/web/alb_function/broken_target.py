"""Breaks the target group of a stack: another function, no permission, another attribute."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from scenarios.framework import DeployedStack
from scenarios.support.broken_functions import made_like

_PRINCIPAL = "elasticloadbalancing.amazonaws.com"

_SOURCE = """
def handler(event, context):
    path = event["path"]
    if path == "/raises":
        raise RuntimeError("the secret reason")
    if path == "/sleeps":
        import time
        time.sleep(60)
    fine = {"statusCode": 200, "isBase64Encoded": False, "multiValueHeaders": {}, "body": "secret"}
    return {
        "/text": "secret",
        "/without-status": {name: value for name, value in fine.items() if name != "statusCode"},
        "/status-of-another-kind": fine | {"statusCode": "OK"},
        "/headers-of-the-other-mode": {"statusCode": 200, "isBase64Encoded": False, "headers": {}},
        "/invalid-header": fine | {"multiValueHeaders": {"secret header": ["x"]}},
        "/not-base64": fine | {"isBase64Encoded": True, "body": "secret!"},
        "/null-body": fine | {"body": None},
        "/too-large": fine | {"body": "secret" * 200_000},
    }.get(path, fine)
"""

#: What the broken function returns, by the path of the request.
BROKEN: Mapping[str, str] = {
    "/raises": "an exception",
    "/sleeps": "a timeout",
    "/text": "a string instead of a response",
    "/without-status": "no statusCode",
    "/status-of-another-kind": "a statusCode that is not a number",
    "/headers-of-the-other-mode": "headers of the other mode",
    "/invalid-header": "an invalid header",
    "/not-base64": "a body that is not base64",
    "/null-body": "a null body",
    "/too-large": "a response over 1 MB",
}


class BrokenTarget:
    """Changes the target group of a stack, and restores it when the `with` blocks end.

    Args:
        stack: The deployed stack, with outputs TargetGroupArn and FunctionName.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._lambda = stack.client("lambda")
        self._elb = stack.client("elbv2")
        self._group = stack.output("TargetGroupArn")
        self._function = stack.output("FunctionName")

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Replace the function in the target group by a broken one."""
        health = self._elb.describe_target_health(TargetGroupArn=self._group)["TargetHealthDescriptions"]
        target = health[0]["Target"]["Id"]
        with made_like(self._stack, self._function, _SOURCE) as made:
            broken = made["FunctionArn"]
            self._lambda.add_permission(
                FunctionName=broken,
                StatementId="load-balancer",
                Action="lambda:InvokeFunction",
                Principal=_PRINCIPAL,
                SourceArn=self._group,
            )
            self._replace(target, broken)
            try:
                yield
            finally:
                self._replace(broken, target)

    def _replace(self, old: str, new: str) -> None:
        self._elb.deregister_targets(TargetGroupArn=self._group, Targets=[{"Id": old}])
        self._elb.register_targets(TargetGroupArn=self._group, Targets=[{"Id": new}])

    @contextmanager
    def without_permission(self) -> Iterator[None]:
        """Remove the load balancer's permission to invoke the function."""
        policy = json.loads(self._lambda.get_policy(FunctionName=self._function)["Policy"])
        statements = [one for one in policy["Statement"] if one["Principal"] == {"Service": _PRINCIPAL}]
        for statement in statements:
            self._lambda.remove_permission(FunctionName=self._function, StatementId=statement["Sid"])
        try:
            yield
        finally:
            for statement in statements:
                account = statement["Condition"]["StringEquals"]["AWS:SourceAccount"]
                self._lambda.add_permission(
                    FunctionName=self._function,
                    StatementId=statement["Sid"],
                    Action="lambda:InvokeFunction",
                    Principal=_PRINCIPAL,
                    SourceAccount=account,
                )

    @contextmanager
    def attribute(self, key: str, value: str) -> Iterator[None]:
        """Set an attribute of the target group to another value."""
        attributes = self._elb.describe_target_group_attributes(TargetGroupArn=self._group)["Attributes"]
        before = [one for one in attributes if one["Key"] == key]
        self._set([{"Key": key, "Value": value}])
        try:
            yield
        finally:
            self._set(before)

    def _set(self, attributes: list[dict[str, str]]) -> None:
        self._elb.modify_target_group_attributes(TargetGroupArn=self._group, Attributes=attributes)
