"""The setting SqsManagedSseEnabled, which every queue has.

Faithful to: a queue without a customer's key is encrypted with keys of SQS unless its settings say otherwise.
Not to: encryption.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import sqs

from localaws.patching import action

_NAME = "SqsManagedSseEnabled"


@action(sqs, "GetQueueAttributes")
def _act_get_queue_attributes(
    stock: Callable[[dict[str, Any], str], dict[str, Any]], data: dict[str, Any], qurl: str
) -> dict[str, Any]:
    answer = stock(data, qurl)
    if {"All", _NAME} & set(data.get("AttributeNames") or ["All"]):
        own_key = sqs._get_q(data.get("QueueUrl", qurl), None)["attributes"].get("KmsMasterKeyId")
        answer["Attributes"].setdefault(_NAME, str(not own_key).lower())
    return answer
