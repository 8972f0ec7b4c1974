"""Lines in the log of a function that no invocation waits for, such as those of extensions after the answer.

The emulator writes the log of an invocation when the invocation has ended, and knows no other lines.

Faithful to: the log group of the function, the log stream of the environment, subscription and metric
filters.
Not to: the log streams of invocations: the emulator has one for each.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ministack.services import cloudwatch_logs, lambda_svc


def write(config: dict[str, Any], stream: str, lines: Sequence[str]) -> None:
    """Write lines into the log group of a function.

    Args:
        config: The configuration of the function.
        stream: The name of the log stream.
        lines: The lines.
    """
    lambda_svc._run_with_function_config_scope(config, _write, config, stream, lines)


def _write(config: dict[str, Any], stream_name: str, lines: Sequence[str]) -> None:
    name = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
    now = int(time.time() * 1000)
    group = cloudwatch_logs._log_groups.get(name)
    if group is None:
        if config["FunctionName"] not in lambda_svc._functions:
            return  # It was deleted, and so was its log group.
        group = cloudwatch_logs._log_groups[name] = {
            "arn": cloudwatch_logs._make_group_arn(name),
            "creationTime": now,
            "retentionInDays": None,
            "tags": {},
            "subscriptionFilters": {},
            "streams": {},
        }
    new = {
        "events": [],
        "uploadSequenceToken": "1",
        "creationTime": now,
        "firstEventTimestamp": None,
        "lastEventTimestamp": None,
        "lastIngestionTime": None,
    }
    stream = group["streams"].setdefault(stream_name, new)
    events = [{"timestamp": now, "message": line, "ingestionTime": now} for line in lines]
    cloudwatch_logs._append_log_events(stream, events)
    sent = [{"timestamp": now, "message": line} for line in lines]
    cloudwatch_logs._fanout_to_subscription_filters(name, stream_name, sent)
