"""SNS and EventBridge invoke functions asynchronously, as S3 does.

The emulator runs the function once and ignores the result: it does not retry, and sends no record to a
destination or dead-letter queue.

Faithful to: the event waits in the function's queue (see `lambda_.async_invocation`); the form of SNS events.
Not to: the retries of SNS and EventBridge themselves, for functions that cannot be reached; signatures.

https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html
"""

from __future__ import annotations

import json
import logging
from typing import Any

from ministack.services import eventbridge, lambda_svc, sns

from localaws.patching import replaces

logger = logging.getLogger("localaws.lambda")


@replaces(sns, "_deliver_to_lambda")
def _deliver_to_lambda(
    endpoint: str,
    envelope: str,
    topic_arn: str,
    sub_arn: str,
    msg_id: str,
    raw_message: str,
    message_attributes: Any,
) -> None:
    """Queue a notification. The last three arguments are also in the envelope."""
    notification = json.loads(envelope)
    # For functions, the first two have other names than for HTTP endpoints, and optional members are present.
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


@replaces(eventbridge, "_dispatch_to_lambda")
def _dispatch_to_lambda(arn: str, payload: str) -> None:
    """Queue an event, or the input that its rule makes of it."""
    try:
        event: Any = json.loads(payload)
    except json.JSONDecodeError:
        event = payload  # the input of a rule may be any text
    _enqueue(arn, event, "EventBridge")


def _enqueue(function_arn: str, event: object, source: str) -> None:
    func, config, _ = lambda_svc._get_func_record_for_ref(function_arn)
    if not func or not config:
        logger.warning("%s: function not found: %s", source, function_arn)
        return
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(func, config), event)
