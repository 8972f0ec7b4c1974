"""Metrics of functions for every invocation, not only for synchronous ones.

The emulator counts synchronous invocations, and each throttled one twice. Functions behind queues, topics,
buckets and retries never have an error, so alarms on their errors never fire.

Faithful to: Invocations, Errors, Duration and Throttles, each without dimensions, by `FunctionName`, by
`FunctionName` and `Resource` (what was invoked: `name`, `name:alias` or `name:version`), and for invocations
of an alias also by `FunctionName`, `Resource` and `ExecutedVersion`, the version that the weights selected.
Throttled requests do not count as invocations.
Requests to function URLs count as `lambda_.function_urls` says.
Those of concurrency are in `lambda_.concurrency`, and those of the queue of events in
`lambda_.async_invocation`.
Not to: other metrics of Lambda; throttled requests by executed version, because no version was selected.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
"""

from __future__ import annotations

from typing import Any

from ministack.services import cloudwatch, lambda_svc

from localaws.patching import replaces
from localaws.usage import amounts, invoked_as


def count(config: dict[str, Any], result: dict[str, Any], seconds: float) -> None:
    """Count an invocation.

    Args:
        config: The configuration that ran, with the ARN that was invoked.
        result: The result, in the emulator's form.
        seconds: How long it took.
    """
    version = config["Version"]
    architecture = (config.get("Architectures") or ["x86_64"])[0]
    unit = f"requests of {config['MemorySize']} MB ({architecture})"
    amounts.add(config["FunctionName"], f"{invoked_as.get()} {unit}")
    _put(config, "Invocations", 1, executed=version)
    _put(config, "Errors", 1 if result.get("error") else 0, executed=version)
    _put(config, "Duration", seconds * 1000, "Milliseconds", executed=version)


def count_url_request(arn: str, status: int, seconds: float, executed: str | None) -> None:
    """Count a request to a function URL.

    Args:
        arn: What the URL is for, with its alias or `$LATEST`.
        status: The status of the response.
        seconds: How long it took.
        executed: The version that ran; None if the function was not invoked.
    """
    config = {"FunctionName": arn.split(":")[6], "FunctionArn": arn}
    _put(config, "UrlRequestCount", 1, executed=executed)
    _put(config, "Url4xxCount", int(400 <= status <= 499), executed=executed)
    _put(config, "Url5xxCount", int(500 <= status <= 599), executed=executed)
    _put(config, "UrlRequestLatency", seconds * 1000, "Milliseconds", executed=executed)


@replaces(lambda_svc, "_emit_lambda_metrics")
def _emit_lambda_metrics(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
    """Count nothing: `count` does."""


def count_throttle(config: dict[str, Any]) -> None:
    """Count an invocation that was refused."""
    _put(config, "Throttles", 1)


def _put(
    config: dict[str, Any], metric: str, value: float, unit: str = "Count", *, executed: str | None = None
) -> None:
    function = {"FunctionName": config["FunctionName"]}
    qualifiers = config["FunctionArn"].split(":")[7:]
    resource = function | {"Resource": ":".join([config["FunctionName"], *qualifiers])}
    sets = [{}, function, resource]
    if executed and qualifiers and qualifiers[0] not in ("$LATEST", executed):  # an alias
        sets.append(resource | {"ExecutedVersion": executed})
    for dimensions in sets:
        cloudwatch.record_metric("AWS/Lambda", metric, value, unit, dimensions)


def put_metric(function_arn: str, metric: str, value: float, unit: str = "Count") -> None:
    """Record a metric that a poller or the queue of events has of its function.

    Args:
        function_arn: The function, version or alias.
        metric: Its name.
        value: Its value.
        unit: Its unit.
    """
    name = function_arn.split(":")[6]
    _put({"FunctionName": name, "FunctionArn": function_arn}, metric, value, unit)
