"""Lines in the log of a function: the report of an invocation, and lines that no invocation waits for.

The emulator writes the log of an invocation when the invocation has ended, and knows no other lines, such as
those of extensions after the answer. Its report has the time until then, and the memory of any process.

Faithful to: the log group of the function, the log stream of the environment, subscription and metric
filters; a duration in hundredths of a millisecond, which is billed in whole ones, of the timeout at most, and
memory of the function's at most; the status of a report after a timeout; the duration of the initialization,
which is billed and no part of the duration, in the report of its first invocation, also if it was in advance.
After a failure it is done again as part of the duration. With the log format JSON, the start and the report
of an invocation are events `platform.start` and `platform.report`, and nothing marks its end.
Not to: the log streams of invocations: the emulator has one for each. The memory is that of the largest
process of any function, as memory is not limited. With an extension, a wrapper script or another runtime than
Python, the initialization is part of the duration. The line INIT_START.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from ministack.services import cloudwatch_logs, lambda_svc

from localaws.patching import around
from localaws.usage import amounts, invoked_as, log_bytes

#: How many seconds the initialization took of which the current invocation is the first, and how many of them
#: it has waited: none with provisioned concurrency.
initialization: ContextVar[tuple[float, float]] = ContextVar("localaws_initialization", default=(0.0, 0.0))


@around(lambda_svc, "_emit_lambda_logs")
def _emit_lambda_logs(
    stock: Callable[..., None],
    func: dict[str, Any],
    request_id: str,
    log_text: str,
    error: bool,
    duration_ms: int,
    *,
    log_source: str | None = None,
) -> None:
    """Write the log of an invocation, with the report of AWS."""
    if log_source:  # it brings its own
        stock(func, request_id, log_text, error, duration_ms, log_source=log_source)
        return
    config = func.get("config") or func
    limit = int(config["Timeout"]) * 1000
    timed_out = error and log_text.rstrip("\n").endswith(f"Task timed out after {limit / 1000:.2f} seconds")
    initialized, waited = initialization.get()
    spent = limit if timed_out else min(max(duration_ms - round(waited * 1000), 0), limit)
    billed = math.ceil(spent + initialized * 1000)
    memory = int(config["MemorySize"])
    megabytes = min(lambda_svc._probe_peak_memory_mb(func), memory)
    if (config.get("LoggingConfig") or {}).get("LogFormat") == "JSON":
        metrics = {
            "durationMs": spent,
            "billedDurationMs": billed,
            "memorySizeMB": memory,
            "maxMemoryUsedMB": megabytes,
            **({"initDurationMs": round(initialized * 1000, 2)} if initialized else {}),
        }
        status = "timeout" if timed_out else "error" if error else "success"
        began = {"requestId": request_id, "version": config["Version"]}
        ended = {"requestId": request_id, "metrics": metrics, "status": status}
        stream = f"{time.strftime('%Y/%m/%d')}/[{config['Version']}]{uuid.uuid4().hex}"
        lines = [_platform("platform.start", began), *log_text.splitlines()]
        write(config, stream, [*lines, _platform("platform.report", ended)])
        return
    report = (
        f"REPORT RequestId: {request_id}\tDuration: {spent:.2f} ms\tBilled Duration: {billed} ms\t"
        f"Memory Size: {memory} MB\tMax Memory Used: {megabytes} MB"
    )
    lines = [
        f"START RequestId: {request_id} Version: {config['Version']}",
        *log_text.splitlines(),
        f"END RequestId: {request_id}",
        report
        + (f"\tInit Duration: {initialized * 1000:.2f} ms" if initialized else "")
        + ("\tStatus: timeout" if timed_out else ""),
    ]
    _bill(config, lines)
    # This source brings the lines of the platform with it.
    stock(func, request_id, "\n".join(lines), error, duration_ms, log_source="rie")


def _platform(kind: str, record: dict[str, Any]) -> str:
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return json.dumps({"time": f"{stamp}Z", "type": kind, "record": record})


def write(config: dict[str, Any], stream: str, lines: Sequence[str]) -> None:
    """Write lines into the log group of a function.

    Args:
        config: The configuration of the function.
        stream: The name of the log stream.
        lines: The lines.
    """
    _bill(config, lines)
    lambda_svc._run_with_function_config_scope(config, _write, config, stream, lines)


def _bill(config: dict[str, Any], lines: Sequence[str]) -> None:
    unit = "Health check log bytes" if invoked_as.get() == "Health check" else "CloudWatch Logs bytes"
    amounts.add(config["FunctionName"], unit, sum(map(log_bytes, lines)))


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
