"""Batch calls of SNS and SQS need the permission of the single call: there is no other.

The emulator asks for `sns:PublishBatch` and the like, which do not exist, and so refuses what AWS allows.

Faithful to: `PublishBatch` is authorised as `sns:Publish`, `SendMessageBatch`, `DeleteMessageBatch` and
`ChangeMessageVisibilityBatch` as the call without Batch.
Not to: nothing that is known.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
"""

from __future__ import annotations

from typing import Any

from ministack.core import iam_actions

_SERVICES = ("sns:", "sqs:")


def install() -> None:
    """Name the action as policies do."""
    stock = iam_actions.extract_iam_action

    def extract_iam_action(*args: Any, **named: Any) -> Any:
        action = stock(*args, **named)
        if isinstance(action, str) and action.startswith(_SERVICES):
            return action.removesuffix("Batch")
        return action

    iam_actions.extract_iam_action = extract_iam_action
