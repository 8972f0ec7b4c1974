"""Whether an alarm may notify a topic: what the policies of the topic and of its key allow CloudWatch.

The emulator publishes to any topic.

Faithful to: `cloudwatch.amazonaws.com` needs `sns:Publish` in the policy of the topic, for the alarm and
its account, and `kms:Decrypt` and `kms:GenerateDataKey` in the policy of the key that encrypts the topic. The
policy that a topic has by default allows alarms of its own account, the key that AWS manages allows none. A
notification that is refused is lost, and the alarm's history says why.
Not to: the words of the history.

https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
https://repost.aws/knowledge-center/cloudwatch-configure-alarm-sns
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import cloudwatch, kms, sns

from localaws.patching import around
from localaws.services.iam.invocations import in_account_of, service_may, service_may_deliver
from localaws.services.iam.roles import iam_is_enforced

logger = logging.getLogger("localaws.cloudwatch")

_SERVICE = "cloudwatch.amazonaws.com"
_ON_KEY = ("kms:Decrypt", "kms:GenerateDataKey")
_LISTS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}


@around(cloudwatch, "_dispatch_alarm_actions")
def _dispatch_alarm_actions(
    stock: Callable[..., None], alarm: dict[str, Any], old_state: str, new_state: str, reason: str
) -> None:
    kind = _LISTS[new_state]
    allowed = []
    for action in alarm.get(kind) or []:
        refused = _refused(action, alarm["AlarmArn"]) if ":sns:" in action and iam_is_enforced() else None
        if refused is None:
            allowed.append(action)
        elif alarm.get("ActionsEnabled", True):
            logger.warning("%s: %s was not notified: %s", alarm["AlarmName"], action, refused)
            _record(alarm, f"Failed to execute action {action}. Received error: {refused}")
    stock({**alarm, kind: allowed}, old_state, new_state, reason)


def _record(alarm: dict[str, Any], text: str) -> None:
    cloudwatch._history_entries().append(
        {
            "AlarmName": alarm["AlarmName"],
            "AlarmType": "CompositeAlarm" if "AlarmRule" in alarm else "MetricAlarm",
            "Timestamp": cloudwatch._ts_iso(time.time()),
            "HistoryItemType": "Action",
            "HistorySummary": text,
            "HistoryData": json.dumps({"actionState": "Failed", "error": text}),
        }
    )


def _refused(topic: str, alarm: str) -> str | None:
    """Why CloudWatch may not publish to a topic for an alarm; None if it may."""
    account = get_account_id()
    if not service_may_deliver(topic, _SERVICE, alarm, account, owner=account):
        return f"Resource: {alarm} is not authorized to perform: SNS:Publish on resource: {topic}"
    with in_account_of(topic):
        found = sns._topic_by_arn_any_scope(topic)
        name = found["attributes"].get("KmsMasterKeyId") if found else None
        key = kms._resolve_key(name) if name else None
    if not name:
        return None
    policy: Any = (key.get("Policy") if key else None) or "{}"
    policy = json.loads(policy) if isinstance(policy, str) else policy
    arn = key["Arn"] if key else name
    if not all(service_may(policy, action, arn, _SERVICE, alarm, account) for action in _ON_KEY):
        return "CloudWatch Alarms does not have authorization to access the SNS topic encryption key."
    return None
