"""Metrics of functions, and of what takes requests: by short names, which expressions use."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from cdk_lambda_patterns.core.event_sources import unqualified
from cdk_lambda_patterns.observability.monitoring.exposed import Exposed


@dataclass(frozen=True)
class Metrics:
    """The metrics of one resource.

    Args:
        of: The metrics by their short names.
        period: Their period.
    """

    of: Mapping[str, cloudwatch.Metric]
    period: Duration

    def __getitem__(self, name: str) -> cloudwatch.Metric:
        return self.of[name]

    def rate(self, part: str, whole: str, least: int) -> cloudwatch.MathExpression:
        """Return what percentage of the whole the part is; 0 if the whole is less than ``least``.

        Args:
            part: An expression with names: ``"errors"``.
            whole: Another one: ``"runs + throttles"``.
            least: The least that counts.
        """
        text = f"IF({whole} >= {least}, 100 * ({part}) / ({whole}), 0)"
        return self._expression(text, f"{part} (%)")

    def success(self, part: str, whole: str) -> cloudwatch.MathExpression:
        """Return what percentage of the whole is not the part; nothing where the whole is 0."""
        return self._expression(f"100 - 100 * ({part}) / ({whole})", "success (%)")

    def only_if(self, value: str, whole: str, least: int) -> cloudwatch.MathExpression:
        """Return a metric; 0 if the whole is less than ``least`` in the period."""
        return self._expression(f"IF({whole} >= {least}, {value}, 0)", value)

    def gigabyte_seconds(self, memory_size: float, label: str, number: int) -> cloudwatch.MathExpression:
        """Return what Lambda charges for: duration times memory in MB. In a graph, each needs its number."""
        return cloudwatch.MathExpression(
            expression=f"spent{number} * {memory_size:g} / 1024 / 1000",
            using_metrics={f"spent{number}": self.of["spent"]},
            label=label,
            period=self.period,
        )

    def _expression(self, text: str, label: str) -> cloudwatch.MathExpression:
        names = [name for name in self.of if re.search(rf"\b{name}\b", text)]
        for name in names:  # some services publish a count only if it is not zero
            text = re.sub(rf"\b{name}\b", f"FILL({name}, 0)", text)
        used = {name: self.of[name] for name in names}
        return cloudwatch.MathExpression(expression=text, using_metrics=used, label=label, period=self.period)


_OF_FUNCTION = {
    "runs": ("Invocations", "Sum"),
    "errors": ("Errors", "Sum"),
    "throttles": ("Throttles", "Sum"),
    "p50": ("Duration", "p50"),
    "p95": ("Duration", "p95"),
    "p99": ("Duration", "p99"),
    "spent": ("Duration", "Sum"),
    "received": ("AsyncEventsReceived", "Sum"),
    "dropped": ("AsyncEventsDropped", "Sum"),
    "event_age": ("AsyncEventAge", "Maximum"),
    "iterator_age": ("IteratorAge", "Maximum"),
}


def of_function(function: Any, period: Duration) -> Metrics:
    """Return the metrics of a function, or of the invocations of an alias.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    """
    # The CDK leaves the alias or version in the ARN of an imported function out of the dimensions.
    arn = function.function_arn.split(":")
    own = {"FunctionName": arn[6], "Resource": f"{arn[6]}:{arn[7]}"} if len(arn) > 7 else None
    found = {
        name: function.metric(metric, statistic=statistic, period=period, label=name, dimensions_map=own)
        for name, (metric, statistic) in _OF_FUNCTION.items()
    }
    # Lambda counts concurrency by function. An alias has a count of its own only with concurrency of its own.
    found["concurrency"] = unqualified(function).metric(
        "ConcurrentExecutions", statistic="Maximum", period=period, label="concurrency"
    )
    return Metrics(found, period)


@dataclass(frozen=True)
class Front(Metrics):
    """The metrics of what takes requests.

    Args:
        failures: How many requests failed, as an expression.
        whole: How many requests there were, likewise.
    """

    failures: str
    whole: str = "requests"


def fronts(exposed: Exposed, period: Duration) -> Iterator[tuple[str, Front]]:
    """Return the metrics of APIs, load balancers and state machines, with their labels."""

    def of(namespace: str, dimensions: Mapping[str, str], **metrics: str) -> dict[str, cloudwatch.Metric]:
        return {
            name: cloudwatch.Metric(
                namespace=namespace,
                metric_name=metric,
                dimensions_map=dict(dimensions),
                statistic="p99" if name == "latency" else "Sum",
                period=period,
                label=name,
            )
            for name, metric in metrics.items()
        }

    # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
    for label, api in exposed.of("http_api").items():
        dimensions = {"ApiId": api.api_id}
        found = of("AWS/ApiGateway", dimensions, requests="Count", failed="5xx", latency="Latency")
        yield label, Front(found, period, "failed")
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
    for label, api in exposed.of("rest_api").items():
        found = {
            "requests": api.metric("Count", statistic="Sum", period=period, label="requests"),
            "failed": api.metric("5XXError", statistic="Sum", period=period, label="failed"),
            "latency": api.metric("Latency", statistic="p99", period=period, label="latency"),
        }
        yield label, Front(found, period, "failed")
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    for label, balancer in exposed.of("load_balancer").items():
        found = {
            name: balancer.metrics.custom(metric, statistic=statistic, period=period, label=name)
            for name, metric, statistic in (
                ("requests", "RequestCount", "Sum"),
                ("refused", "HTTPCode_ELB_5XX_Count", "Sum"),
                ("failed", "HTTPCode_Target_5XX_Count", "Sum"),
                ("latency", "TargetResponseTime", "p99"),
            )
        }
        # RequestCount has only the requests for which there was a target.
        yield label, Front(found, period, "refused + failed", "requests + refused")
    # https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
    for label, machine in exposed.of("state_machine").items():
        found = of(
            "AWS/States",
            {"StateMachineArn": machine.state_machine_arn},
            requests="ExecutionsStarted",
            succeeded="ExecutionsSucceeded",
            failed="ExecutionsFailed",
            timed_out="ExecutionsTimedOut",
            aborted="ExecutionsAborted",
            latency="ExecutionTime",
        )
        # Of those that have ended: they may have started in an earlier period.
        failures = "failed + timed_out + aborted"
        yield label, Front(found, period, failures, f"succeeded + {failures}")
