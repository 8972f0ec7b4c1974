"""Receipt handles and sequence numbers as long as those of SQS.

Faithful to: a receipt handle is long base64 and new each time that the message is received; a sequence number
of a FIFO queue has 20 digits without leading zeros.
Not to: how AWS makes them.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

from ministack.services import sqs

from localaws.patching import around

_FIRST_SEQUENCE_NUMBER = 18849496460467696128


@around(sqs, "_collect_msgs")
def _collect_msgs(
    stock: Callable[..., list[Any]], q: dict[str, Any], max_n: int, vis_timeout: int
) -> list[Any]:
    received = stock(q, max_n, vis_timeout)
    for message in received:
        message["receipt_handle"] = "AQEB" + base64.b64encode(os.urandom(255)).decode()
        if message.get("seq") and len(str(int(message["seq"]))) < 20:
            message["seq"] = str(_FIRST_SEQUENCE_NUMBER + int(message["seq"]))
    return received
