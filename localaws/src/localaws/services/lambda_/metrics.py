"""The metrics of functions, for every run and not only for those that `Invoke` waits for.

The emulator counts synchronous calls of `Invoke`, and each throttled one twice; functions behind queues,
topics, buckets and retries never show an error, so an alarm on their errors never rings.

Faithful to: Invocations, Errors, Duration and Throttles, each without dimensions, by `FunctionName`, by
`FunctionName` and `Resource` (what was invoked: `name`, `name:alias` or `name:version`), and of calls through
an alias also by `FunctionName`, `Resource` and `ExecutedVersion`: the version that the alias's weights chose.
Throttled requests are no invocations.
Not to: the other metrics of Lambda; throttled calls by executed version, because no version was chosen yet.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
"""

from __future__ import annotations

from typing import Any

from ministack.services import cloudwatch, lambda_svc

_stock_acquire = lambda_svc._acquire_execution_slot


def install() -> None:
    """Count where a function is refused. `lambda_invocation` calls `count` where it runs."""
    lambda_svc._acquire_execution_slot = _acquire
    lambda_svc._emit_lambda_metrics = _counted_elsewhere


def count(config: dict[str, Any], result: dict[str, Any], seconds: float) -> None:
    """Record one run.

    Args:
        config: The configuration that ran, with the ARN that was invoked.
        result: What came out, in the emulator's form.
        seconds: How long it took.
    """
    version = config["Version"]
    _put(config, "Invocations", 1, executed=version)
    _put(config, "Errors", 1 if result.get("error") else 0, executed=version)
    _put(config, "Duration", seconds * 1000, "Milliseconds", executed=version)


def _counted_elsewhere(*_: object, **__: object) -> None:
    """Stand in for the emulator's own count."""


def _acquire(func: dict[str, Any], config: dict[str, Any]) -> tuple[str | None, str | None]:
    slot, limit = _stock_acquire(func, config)
    if slot is None:
        _put(config, "Throttles", 1)
    return slot, limit


def _put(
    config: dict[str, Any], metric: str, value: float, unit: str = "Count", *, executed: str | None = None
) -> None:
    function = {"FunctionName": config["FunctionName"]}
    qualifiers = config["FunctionArn"].split(":")[7:]
    resource = function | {"Resource": ":".join([config["FunctionName"], *qualifiers])}
    sets = [{}, function, resource]
    if executed and qualifiers and qualifiers[0] not in ("$LATEST", executed):  # an alias: no version's name
        sets.append(resource | {"ExecutedVersion": executed})
    for dimensions in sets:
        cloudwatch.record_metric("AWS/Lambda", metric, value, unit, dimensions)


def put_metric(function_arn: str, metric: str, milliseconds: float) -> None:
    """Record a time that a poller measured for the function that it invokes."""
    name = function_arn.split(":")[6]
    _put({"FunctionName": name, "FunctionArn": function_arn}, metric, milliseconds, "Milliseconds")
