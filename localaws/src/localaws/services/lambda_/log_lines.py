"""Lines in the log of a function that no invocation waits for, such as those of extensions after the answer.

The emulator writes the log of an invocation when the invocation has ended, and knows no other lines.

Faithful to: the log group of the function, subscription and metric filters.
Not to: the log stream, which is another one for each write, as the emulator has one for each invocation.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from ministack.services import cloudwatch_logs, lambda_svc


def write(config: dict[str, Any], lines: Sequence[str]) -> None:
    """Write lines into the log group of a function.

    Args:
        config: The configuration of the function.
        lines: The lines.
    """
    lambda_svc._run_with_function_config_scope(config, _write, config, lines)


def _write(config: dict[str, Any], lines: Sequence[str]) -> None:
    name = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
    group = cloudwatch_logs._log_groups.get(name)
    if group is None:
        return  # The function was deleted with its log group, or has never run.
    now = int(time.time() * 1000)
    stream_name = f"{time.strftime('%Y/%m/%d')}/[{config['Version']}]{uuid.uuid4().hex}"
    stream = {
        "events": [],
        "uploadSequenceToken": "1",
        "creationTime": now,
        "firstEventTimestamp": None,
        "lastEventTimestamp": None,
        "lastIngestionTime": None,
    }
    group["streams"][stream_name] = stream
    events = [{"timestamp": now, "message": line, "ingestionTime": now} for line in lines]
    cloudwatch_logs._append_log_events(stream, events)
    sent = [{"timestamp": now, "message": line} for line in lines]
    cloudwatch_logs._fanout_to_subscription_filters(name, stream_name, sent)
