"""DescribeStacks waits for the end of a change and names parents, and conditions may use Fn::Join.

The CDK CLI describes a changing stack once, and again five seconds later; a deployment here takes less than
one second. Its bootstrap template joins a list parameter to find out whether it is empty, and the emulator
takes the expression itself for a text that is not empty.

Faithful to: everything but the time of the response. DescribeStacks of one stack in a state that ends in
`_IN_PROGRESS` returns when the state changes, or after three seconds with the state as it is. A nested
stack has its ParentId and RootId. `Fn::Join` in a condition joins texts and references to parameters; a
list parameter is joined item by item.
Not to: CloudFormation's immediate response. Other functions inside `Fn::Join` in a condition.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-conditions.html
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, engine, handlers, stacks

from localaws.patching import around

_LONGEST = 3.0  # seconds; clients wait a minute or more for a response
_INTERVAL = 0.02
_STACK_ID = re.compile(r"<StackId>(.+?)</StackId>")
_IN_PROGRESS = b"_IN_PROGRESS</StackStatus>"


@around((engine, changesets, handlers, stacks), "_evaluate_conditions")  # all have imported the name
def _evaluate_conditions(stock: Callable[..., Any], template: dict[str, Any], params: dict[str, Any]) -> Any:
    conditions = _with_texts_joined(template.get("Conditions", {}), params)
    return stock({**template, "Conditions": conditions}, params)


@around(stacks, "_provision_keeping_seed")
@around(stacks, "_update_keeping_seed")
def _handled(stock: Callable[..., Any], *args: Any) -> Any:
    """Name the type of an error whose text does not say what is wrong, such as a missing key."""
    try:
        return stock(*args)
    except Exception as error:
        if isinstance(error, LookupError) or not str(error):
            raise RuntimeError(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        raise


@around(cloudformation, "handle_request", after=["iam.deployments"])
async def _handle_request(stock: Callable[..., Awaitable[Any]], *request: Any, **more: Any) -> Any:
    answer = await stock(*request, **more)
    deadline = time.monotonic() + _LONGEST
    while _is_changing(answer) and time.monotonic() < deadline:
        await asyncio.sleep(_INTERVAL)
        answer = await stock(*request, **more)
    return _with_parents(answer)


def _with_parents(answer: Any) -> Any:
    """The description of stacks, with the parent and the root of each nested one."""
    body = answer[2] if isinstance(answer, tuple) else b""
    text = body.decode() if isinstance(body, bytes) else body
    if "<DescribeStacksResponse" not in text:
        return answer
    parents = {one["StackId"]: one.get("ParentId") for one in cloudformation._stacks.values()}

    def described(match: re.Match[str]) -> str:
        parent = root = parents.get(match[1])
        while root and parents.get(root):
            root = parents[root]
        return f"{match[0]}<ParentId>{parent}</ParentId><RootId>{root}</RootId>" if parent else match[0]

    return answer[0], answer[1], _STACK_ID.sub(described, text).encode()


def _is_changing(answer: Any) -> bool:
    """Whether this is the description of one stack in progress."""
    body = answer[2] if isinstance(answer, tuple) else b""
    body = body.encode() if isinstance(body, str) else body
    return b"<DescribeStacksResponse" in body and body.count(b"<StackStatus>") == 1 and _IN_PROGRESS in body


def _with_texts_joined(expression: Any, parameters: dict[str, Any]) -> Any:
    """The expression with the joined text in place of each `Fn::Join`."""
    if isinstance(expression, list):
        return [_with_texts_joined(item, parameters) for item in expression]
    if not isinstance(expression, dict):
        return expression
    if "Fn::Join" in expression:
        separator, items = expression["Fn::Join"]
        return str(separator).join(_texts(items, parameters))
    return {name: _with_texts_joined(value, parameters) for name, value in expression.items()}


def _texts(value: Any, parameters: dict[str, Any]) -> list[str]:
    """The texts in a list, or in a reference to a parameter; the items of a list parameter."""
    if isinstance(value, list):
        return [text for item in value for text in _texts(item, parameters)]
    if isinstance(value, dict) and value.get("Ref") in parameters:
        parameter = parameters[value["Ref"]]
        text = str(parameter["Value"])
        listed = "List" in parameter.get("Type", "")
        return [item.strip() for item in text.split(",")] if listed else [text]
    return [str(value)]
