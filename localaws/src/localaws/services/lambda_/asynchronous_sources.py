"""SNS and EventBridge invoke functions asynchronously, as S3 does.

The emulator runs the function once and forgets what became of it: no retry, no destination, no dead letter.
EventBridge Scheduler goes the same way as EventBridge.

Faithful to: the event waits in the function's own queue (see `lambda_async`); the form of SNS's event.
Not to: SNS's and EventBridge's own retries, which concern functions that cannot be reached; signatures.

https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
"""

from __future__ import annotations

import json
import logging
from typing import Any

from ministack.services import eventbridge, lambda_svc, sns

logger = logging.getLogger("localaws.lambda")


def install() -> None:
    """Queue what SNS and EventBridge deliver to functions."""
    sns._deliver_to_lambda = _from_sns
    eventbridge._dispatch_to_lambda = _from_eventbridge


def _from_sns(endpoint: str, envelope: str, topic_arn: str, sub_arn: str, *_: object) -> None:
    """Queue one notification. The rest of the arguments is in the envelope too."""
    notification = json.loads(envelope)
    # Functions get these two under other names than HTTP endpoints, and the optional ones always.
    notification["SigningCertUrl"] = notification.pop("SigningCertURL", "")
    notification["UnsubscribeUrl"] = notification.pop("UnsubscribeURL", "")
    notification.setdefault("Subject", None)
    notification.setdefault("MessageAttributes", {})
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": sub_arn,
        "Sns": notification,
    }
    _enqueue(endpoint, {"Records": [record]}, topic_arn)


def _from_eventbridge(arn: str, payload: str) -> None:
    """Queue one event, or the input that its rule makes of it."""
    try:
        event: Any = json.loads(payload)
    except json.JSONDecodeError:
        event = payload  # The input of a rule may be any text.
    _enqueue(arn, event, "EventBridge")


def _enqueue(function_arn: str, event: object, source: str) -> None:
    func, config, _ = lambda_svc._get_func_record_for_ref(function_arn)
    if not func or not config:
        logger.warning("%s: there is no function %s", source, function_arn)
        return
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(func, config), event)
