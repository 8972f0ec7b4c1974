"""Warnings about values of a function that can change without a new version being published.

The CDK publishes a version when the template of the function changes. A value that is known only when the
stack is deployed, and code whose name stays the same, change without the template: the function changes, but
no version is published, so nothing is released.

https://github.com/aws/aws-cdk/issues/25997 (environment), https://github.com/aws/aws-cdk/issues/11433 (code)
"""

import re
from collections.abc import Iterator
from typing import Any

import jsii
from aws_cdk import Annotations, Aspects, CfnParameter, IAspect, Stack, TreeInspector
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import IConstruct

WARNING = "cdk-lambda-patterns:unseenChange"
CONTENT_HASH = re.compile(r"[0-9a-f]{64}(\.\w+)?$")
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
_DYNAMIC = re.compile(r"\{\{resolve:(?:(ssm(?:-secure)?):([^:}]+)(:\d+)?|(secretsmanager):([^}]+))\}\}")


def warn_of_unseen_changes(function: lambda_.IFunction) -> None:
    """Let the CDK warn at synthesis if the function has such a value; nothing for an imported function."""
    if isinstance(function, lambda_.Function):
        Aspects.of(function).add(_UnseenChanges())


@jsii.implements(IAspect)
class _UnseenChanges:
    def visit(self, node: IConstruct) -> None:
        """Look at the resource of the function. The CDK calls this when all properties are known."""
        if not isinstance(node, lambda_.CfnFunction):
            return
        stack, resolved = Stack.of(node), properties_of(node)
        found = [*_code_that_keeps_its_name(resolved.pop("code", None) or {}), *_dynamic(resolved)]
        found += _parameters(stack, resolved)
        if found:
            Annotations.of(node).add_warning_v2(
                WARNING,
                f"{'; '.join(found)}: when only that value changes, no version is published, and the aliases "
                "keep the old one. Use a value that is known at synthesis (CDK context, an asset, an object "
                "version), or pass one that changes at the same time to "
                "function.invalidate_version_based_on(...) and acknowledge this warning: "
                f'Annotations.of(function).acknowledge_warning("{WARNING}").',
            )


def properties_of(
    resource: lambda_.CfnFunction | iam.CfnPolicy | dynamodb.CfnTable | dynamodb.CfnGlobalTable,
) -> dict[str, Any]:
    """Return the properties of a resource as its template will have them; call it at synthesis.

    Properties that the CDK fills in at synthesis can be read only in this way from Python, and so can the
    stream of a TableV2 that has none.
    """
    inspector = TreeInspector()
    resource.inspect(inspector)
    properties: dict[str, Any] = Stack.of(resource).resolve(inspector)["attributes"][
        "aws:cdk:cloudformation:props"
    ]
    return properties


def _code_that_keeps_its_name(code: dict[str, Any]) -> Iterator[str]:
    key, image, pinned = code.get("s3Key"), code.get("imageUri"), code.get("s3ObjectVersion")
    if pinned is None and key is not None and not (isinstance(key, str) and CONTENT_HASH.search(key)):
        yield f"code from a bucket without object_version (key {key})"
    if pinned is not None and not isinstance(pinned, str):
        yield f"code whose object version is known only when the stack is deployed ({pinned})"
    if image is not None and not CONTENT_HASH.search(_text(image)):
        yield "code from an image without digest"


def _text(image: object) -> str:
    """The end of an image's URI, which may be joined."""
    while isinstance(image, dict | list):
        parts = list(image.values()) if isinstance(image, dict) else image
        image = parts[-1] if parts else ""
    return str(image)


def _dynamic(settings: dict[str, Any]) -> Iterator[str]:
    for name, value in _leaves(settings):
        for match in _DYNAMIC.finditer(value) if isinstance(value, str) else ():
            if (match[1] and not match[3]) or (match[4] and not _has_version_id(match[5])):
                yield f"{name} is read from {match[1] or match[4]} when the stack is deployed"


def _has_version_id(reference: str) -> bool:
    """Whether a reference to a secret ends with the id of a version, which never changes."""
    return bool(re.search(r":[0-9A-Za-z-]{32,64}$", reference))


def _parameters(stack: Stack, settings: dict[str, Any]) -> list[str]:
    refs = [(name, value) for name, value in _leaves(settings) if isinstance(value, tuple)]
    if not refs:
        return []
    known = {stack.resolve(one.logical_id) for one in stack.node.find_all() if isinstance(one, CfnParameter)}
    return [f"{name} is the parameter {ref[0]}" for name, ref in refs if ref[0] in known]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its name; a `Ref`, also in a `Fn::Sub`, as a tuple of one."""
    if isinstance(value, dict):
        if isinstance(value.get("Ref"), str) and len(value) == 1:
            if not value["Ref"].startswith("AWS::"):
                yield name, (value["Ref"],)
            return
        for key, inner in value.items():
            yield from _leaves(inner, name if key.startswith("Fn::") else f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    elif isinstance(value, str):
        yield name, value
        for referred in re.findall(r"\$\{(\w+)\}", value):
            yield name, (referred,)
