"""Standard queues that deliver a message twice, or out of order, because a test asked for it.

Faithful to: a second delivery has the same message id and body, and a receipt handle of its own; it comes
although the first one was deleted. Both may happen with every standard queue.
Not to: FIFO queues, which do neither.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues-at-least-once-delivery.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ministack.services import sqs

from localaws.faults.rules import Rule, matches, rules
from localaws.patching import around

_REPEATED = "localaws_repeated"


@around(sqs, "_collect_msgs", after=["sqs.messages", "sqs.shapes"])
def _collect_msgs(
    stock: Callable[..., list[Any]], q: dict[str, Any], max_n: int, vis_timeout: int
) -> list[Any]:
    if q["is_fifo"] or not rules.has("queue"):
        return stock(q, max_n, vis_timeout)
    rules.shuffle(q["name"], q["messages"])
    received = stock(q, max_n, vis_timeout)

    def concerns(rule: Rule) -> bool:
        return rule.duplicates and matches(rule, q["name"])

    for message in received:
        if not message.get(_REPEATED) and rules.applying("queue", concerns):
            message[_REPEATED] = True
            q["messages"].append({**message, "receipt_handle": None, "visible_at": time.time()})
    return received
