"""What constructs of one app use together: a bucket or a table that each of them was given."""

import json
from typing import Any

from aws_cdk import IResource, Stack
from constructs import IConstruct


def identity(resource: IResource, attribute: str) -> str:
    """Return a name that is the same for all constructs that represent one resource, as far as the app knows.

    Args:
        resource: Owned, from another stack, or imported, perhaps several times.
        attribute: The attribute with its name: ``"bucket_name"``.
    """
    stack = Stack.of(resource)
    given = stack.resolve(getattr(resource.node.default_child, attribute, None))
    name = given or stack.resolve(getattr(resource, attribute))
    return name if isinstance(name, str) else f"{stack.node.path} {json.dumps(name)}"


def record(scope: IConstruct, use: str, data: list[Any]) -> None:
    """Record a use in the app, where the constructs of its other stacks find it."""
    scope.node.root.node.add_metadata(f"cdk-lambda-patterns:{use}", json.dumps(data))


def recorded(scope: IConstruct, use: str) -> list[list[Any]]:
    """Return what was recorded of this use, the earliest first."""
    metadata = scope.node.root.node.metadata
    return [json.loads(entry.data) for entry in metadata if entry.type == f"cdk-lambda-patterns:{use}"]
