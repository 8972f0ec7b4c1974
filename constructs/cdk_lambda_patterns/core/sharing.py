"""What constructs of one app use together: a bucket or a table that each of them was given."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aws_cdk import IResource, Stack
from constructs import IConstruct

# By app, or what is the root instead. The key keeps it alive in Python: jsii would make another object of it.
_records: defaultdict[IConstruct, defaultdict[str, list[Sequence[Any]]]] = defaultdict(
    lambda: defaultdict(list)
)


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


def record(scope: IConstruct, use: str, data: Sequence[Any]) -> None:
    """Record a use in the app, where the constructs of its other stacks find it."""
    _records[scope.node.root][use].append(data)


def recorded(scope: IConstruct, use: str) -> Sequence[Sequence[Any]]:
    """Return what was recorded of this use, the earliest first."""
    return _records[scope.node.root][use]
