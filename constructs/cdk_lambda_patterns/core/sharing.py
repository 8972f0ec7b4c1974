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
    given = getattr(resource.node.default_child, attribute, None)
    name = (given and stack.resolve(given)) or stack.resolve(getattr(resource, attribute))
    return name if isinstance(name, str) else f"{stack.node.path} {json.dumps(name)}"


def record(scope: IConstruct, use: str, data: Sequence[Any]) -> None:
    """Record a use in the app, where the constructs of its other stacks find it."""
    _records[scope.node.root][use].append(data)


def recorded(scope: IConstruct, use: str) -> Sequence[Sequence[Any]]:
    """Return what was recorded of this use, the earliest first."""
    return _records[scope.node.root][use]


def claim(scope: IConstruct, use: str, key: Sequence[Any], message: str) -> None:
    """Record what AWS allows once, and refuse it if another construct of the app has it.

    Args:
        scope: The construct that makes it.
        use: What kind of thing it is.
        key: What is allowed once, such as the name of an alias with the `identity` of its function.
        message: The start of the error: what was given, and what AWS allows.

    Raises:
        ValueError: Another construct of the app has claimed it.
    """
    for claimed, path in recorded(scope, use):
        if claimed == list(key):
            raise ValueError(
                f"{message} {path} has it already; give another one, or make only one of the two."
            )
    record(scope, use, [list(key), scope.node.path])
