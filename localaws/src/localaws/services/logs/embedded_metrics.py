"""Metrics in log events: the embedded metric format, which Powertools and other libraries write.

The emulator stores such an event as any other, and publishes nothing.

Faithful to: each metric of `_aws.CloudWatchMetrics` is published with its namespace, its unit, the time in
`_aws.Timestamp`, and once for each set of dimensions; a value may be a list of up to 100 numbers. A document
that is not as specified publishes nothing, or leaves out the metric that is not.
Not to: the metrics EMFParsingErrors and EMFValidationErrors, storage resolution, and the delay in AWS.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ministack.services import cloudwatch, cloudwatch_logs

from localaws.patching import around
from localaws.services.logs.patterns import parsed

_MOST_VALUES, _MOST_METRICS, _MOST_DIMENSIONS = 100, 100, 30


@around(cloudwatch_logs, "_fanout_to_subscription_filters", after=["logs.metric_filters"])
def _publish(
    stock: Callable[..., None], group_name: str, stream_name: str, events: Sequence[dict[str, Any]]
) -> None:
    stock(group_name, stream_name, events)
    for event in events or ():
        message = str(event.get("message", ""))
        if '"_aws"' in message and isinstance(document := parsed(message), dict):
            _publish_document(document)


def _publish_document(document: dict[str, Any]) -> None:
    head = document.get("_aws")
    if not isinstance(head, dict) or not _is_number(head.get("Timestamp")):
        return
    for directive in _objects(head.get("CloudWatchMetrics")):
        namespace, sets = directive.get("Namespace"), directive.get("Dimensions") or [[]]
        if not isinstance(namespace, str) or not namespace or not isinstance(sets, list):
            continue
        for names in sets:
            dimensions = _dimensions(document, names)
            for metric in _objects(directive.get("Metrics"))[:_MOST_METRICS]:
                if dimensions is not None and isinstance(name := metric.get("Name"), str):
                    bucket = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dimensions)))
                    for value in _values(document.get(name)):
                        one = {"Timestamp": head["Timestamp"] / 1000, "Value": float(value)}
                        one |= {"Unit": metric.get("Unit") or "None", "Dimensions": dict(dimensions)}
                        bucket.append(one)


def _dimensions(document: dict[str, Any], names: Any) -> dict[str, str] | None:
    """The dimensions of a set, or None if it is none."""
    if not isinstance(names, list) or len(names) > _MOST_DIMENSIONS:
        return None
    found = {name: document.get(name) for name in names if isinstance(name, str)}
    every = len(found) == len(names) and all(isinstance(value, str) for value in found.values())
    return {name: str(value) for name, value in found.items()} if every else None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _values(value: Any) -> Iterator[float]:
    values = value if isinstance(value, list) else [value]
    if len(values) <= _MOST_VALUES and all(map(_is_number, values)):
        yield from values


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
