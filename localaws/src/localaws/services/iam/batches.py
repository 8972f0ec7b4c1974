"""Batch calls of SNS and SQS need the permission for the single call.

The emulator requires `sns:PublishBatch` and the like, which do not exist in IAM, and so refuses what AWS
allows.

Faithful to: `PublishBatch` is authorised as `sns:Publish`, and `SendMessageBatch`, `DeleteMessageBatch` and
`ChangeMessageVisibilityBatch` as the call without Batch.
Not to: nothing that is known.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions

from localaws.patching import around

_SERVICES = ("sns:", "sqs:")


@around(iam_actions, "extract_iam_action")
def _extract_iam_action(stock: Callable[..., str | None], *args: Any, **named: Any) -> str | None:
    action = stock(*args, **named)
    if isinstance(action, str) and action.startswith(_SERVICES):
        return action.removesuffix("Batch")
    return action
