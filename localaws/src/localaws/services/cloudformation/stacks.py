"""CloudFormation: who waits for a stack is told at once, and conditions know Fn::Join.

The CDK CLI asks for a changing stack once, and again five seconds later, whatever happens in between; a
deployment here takes less than one. And its bootstrap template joins a list parameter to see whether it is
empty: the emulator takes the expression itself for a text that is not.

Faithful to: everything but the time that the answer takes. DescribeStacks of one stack in a state that ends
in `_IN_PROGRESS` is answered when the state changes, or after three seconds with the state as it is.
`Fn::Join` in a condition joins texts and references to parameters, a list parameter item by item.
Not to: CloudFormation answers at once. Other functions inside `Fn::Join` in a condition.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-conditions.html
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, engine, handlers, stacks

_LONGEST = 3.0  # seconds; clients wait for an answer for a minute and more
_INTERVAL = 0.02
_IN_PROGRESS = b"_IN_PROGRESS</StackStatus>"


def install() -> None:
    """Let DescribeStacks wait for the end of a change, and conditions join."""
    stock_evaluation = engine._evaluate_conditions

    def evaluate_conditions(template: dict[str, Any], parameters: dict[str, Any]) -> Any:
        conditions = _with_texts_joined(template.get("Conditions", {}), parameters)
        return stock_evaluation({**template, "Conditions": conditions}, parameters)

    for module in (engine, changesets, handlers, stacks):  # the others have it by its name
        module._evaluate_conditions = evaluate_conditions

    stock = cloudformation.handle_request

    async def answer_when_settled(*request: Any) -> Any:
        answer = await stock(*request)
        deadline = time.monotonic() + _LONGEST
        while _is_changing(answer) and time.monotonic() < deadline:
            await asyncio.sleep(_INTERVAL)
            answer = await stock(*request)
        return answer

    cloudformation.handle_request = answer_when_settled


def _is_changing(answer: Any) -> bool:
    """Whether this is the description of one stack that is being changed."""
    body = answer[2] if isinstance(answer, tuple) else b""
    body = body.encode() if isinstance(body, str) else body
    return b"<DescribeStacksResponse" in body and body.count(b"<StackStatus>") == 1 and _IN_PROGRESS in body


def _with_texts_joined(expression: Any, parameters: dict[str, Any]) -> Any:
    """The expression with the text in place of each `Fn::Join`."""
    if isinstance(expression, list):
        return [_with_texts_joined(item, parameters) for item in expression]
    if not isinstance(expression, dict):
        return expression
    if "Fn::Join" in expression:
        separator, items = expression["Fn::Join"]
        return str(separator).join(_texts(items, parameters))
    return {name: _with_texts_joined(value, parameters) for name, value in expression.items()}


def _texts(value: Any, parameters: dict[str, Any]) -> list[str]:
    """The texts of a list, or of a reference to a parameter: a list parameter is one text with commas."""
    if isinstance(value, list):
        return [text for item in value for text in _texts(item, parameters)]
    if isinstance(value, dict) and value.get("Ref") in parameters:
        parameter = parameters[value["Ref"]]
        text = str(parameter["Value"])
        listed = "List" in parameter.get("Type", "")
        return [item.strip() for item in text.split(",")] if listed else [text]
    return [str(value)]
