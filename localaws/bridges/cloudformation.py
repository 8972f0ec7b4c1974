"""CloudFormation: asked for a stack that is just changing, it answers as soon as the change is over.

The CDK CLI asks once, and again five seconds later, whatever happens in between; a deployment here takes
less than one.

Faithful to: everything but the time that the answer takes. DescribeStacks of one stack in a state that ends
in `_IN_PROGRESS` is answered when the state changes, or after three seconds with the state as it is.
Not to: CloudFormation answers at once.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ministack.services import cloudformation

_LONGEST = 3.0  # seconds; clients wait for an answer for a minute and more
_INTERVAL = 0.02
_IN_PROGRESS = b"_IN_PROGRESS</StackStatus>"


def install() -> None:
    """Let DescribeStacks wait for the end of a change."""
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
