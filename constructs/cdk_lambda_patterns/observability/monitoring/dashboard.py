"""The dashboard: a row for each API or the like and for each function; queues, streams and cost drivers."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.event_sources import unqualified
from cdk_lambda_patterns.observability.monitoring.exposed import Exposed, is_asynchronous
from cdk_lambda_patterns.observability.monitoring.metrics import fronts, of_function

_WIDTH = 24  # of a dashboard
_Graph = tuple[str, Sequence[cloudwatch.IMetric], cloudwatch.YAxisProps]
_Rows = list[Sequence[_Graph]]
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
_MOST_WIDGETS, _MOST_METRICS = 500, 2_500
_PERCENT = cloudwatch.YAxisProps(min=0, max=100, label="%", show_units=False)


def make_dashboard(
    scope: Construct, exposed: Exposed, alarms: Sequence[cloudwatch.IAlarm], period: Duration
) -> cloudwatch.Dashboard:
    """Make the dashboard.

    Args:
        scope: The parent.
        exposed: What to show.
        alarms: The alarms whose states are shown at the top.
        period: Period of the metrics.

    Raises:
        ValueError: It has more widgets or metrics than CloudWatch allows.
    """
    dashboard = cloudwatch.Dashboard(scope, "Dashboard")
    if alarms:
        dashboard.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", alarms=[*alarms], width=_WIDTH))
    rows: _Rows = []
    for label, front in fronts(exposed, period):
        _row(
            rows,
            _graph(f"{label}: requests", [metric for name, metric in front.of.items() if name != "latency"]),
            _graph(f"{label}: success", [front.success(front.failures, front.whole)], _PERCENT),
            _graph(f"{label}: latency, p99", [front["latency"]]),
        )
    for label, function in exposed.of("function").items():
        metrics = of_function(function, period)
        _row(
            rows,
            _graph(f"{label}: invocations", [metrics["runs"], metrics["errors"]]),
            _graph(f"{label}: success", [metrics.success("errors", "runs")], _PERCENT),
            _graph(f"{label}: duration", [metrics[name] for name in ("p50", "p95", "p99")]),
            _graph(f"{label}: throttles, concurrency", [metrics["throttles"], metrics["concurrency"]]),
        )
        details = []
        if is_asynchronous(function):
            events = [metrics["received"], metrics["dropped"]]
            details += [
                _graph(f"{label}: asynchronous events", events),
                _graph(f"{label}: age of events", [metrics["event_age"]]),
            ]
        if label in exposed.stream_readers:
            details.append(_graph(f"{label}: iterator age", [metrics["iterator_age"]]))
        if details:
            _row(rows, *details)
    for label, queue in exposed.of("queue").items():
        waiting = queue.metric_approximate_number_of_messages_visible(period=period, statistic="Maximum")
        in_flight = queue.metric_approximate_number_of_messages_not_visible(
            period=period, statistic="Maximum"
        )
        age = queue.metric_approximate_age_of_oldest_message(period=period, statistic="Maximum")
        _row(rows, _graph(f"{label}: age", [age]), _graph(f"{label}: depth", [waiting, in_flight]))
    if failures := exposed.of("failure_queue"):
        depths = [
            queue.metric_approximate_number_of_messages_visible(
                period=period, statistic="Maximum", label=label
            )
            for label, queue in failures.items()
        ]
        _row(rows, _graph("Failure queues: depth", depths))
    _add_cost_drivers(rows, exposed, period)
    _add(dashboard, rows)
    return dashboard


def _add_cost_drivers(rows: _Rows, exposed: Exposed, period: Duration) -> None:
    """Show what AWS charges for: memory times duration, requests, capacity units and bytes."""
    widgets = []
    if functions := exposed.of("function"):
        spent: list[cloudwatch.IMetric] = []
        for number, (label, function) in enumerate(functions.items()):
            metrics, resource = of_function(function, period), unqualified(function).node.default_child
            memory = resource.memory_size if isinstance(resource, lambda_.CfnFunction) else None
            spent.append(metrics.gigabyte_seconds(memory, label, number) if memory else metrics["spent"])
        widgets.append(_graph("Cost: GB-seconds (ms of imported functions)", spent))
    if tables := exposed.of("table"):
        units = []
        for label, table in tables.items():
            units += [
                table.metric(
                    f"Consumed{kind}CapacityUnits",
                    statistic="Sum",
                    period=period,
                    label=f"{label} {kind.lower()}",
                )
                for kind in ("Read", "Write")
            ]
        widgets.append(_graph("Cost: capacity units", units))
    if queues := {**exposed.of("queue"), **exposed.of("failure_queue")}:
        sent = [
            queue.metric_number_of_messages_sent(period=period, label=label)
            for label, queue in queues.items()
        ]
        widgets.append(_graph("Cost: messages sent", sent))
    if streams := exposed.of("stream"):
        data = [
            stream.metric("IncomingBytes", statistic="Sum", period=period, label=label)
            for label, stream in streams.items()
        ]
        widgets.append(_graph("Cost: bytes into streams", data))
    if widgets:
        _row(rows, *widgets)


def _graph(
    title: str, metrics: Sequence[cloudwatch.IMetric], axis: cloudwatch.YAxisProps | None = None
) -> _Graph:
    return title, metrics, axis or cloudwatch.YAxisProps(min=0, show_units=False)


def _row(rows: _Rows, *graphs: _Graph) -> None:
    rows.append(graphs)


def _add(dashboard: cloudwatch.Dashboard, rows: _Rows) -> None:
    """Add rows of graphs that fill their width."""
    shown = [metrics for row in rows for _, metrics, _ in row]
    count = sum(_count(metric) for metrics in shown for metric in metrics)
    if len(shown) >= _MOST_WIDGETS or count > _MOST_METRICS:  # one more widget has the states of the alarms
        raise ValueError(
            f"patterns: the dashboard has {len(shown) + 1:,} widgets with {count:,} metrics; CloudWatch "
            f"allows {_MOST_WIDGETS} and {_MOST_METRICS:,}. Give the patterns to several Monitorings, or "
            "dashboard=False."
        )
    for graphs in rows:
        width = _WIDTH // len(graphs)
        dashboard.add_widgets(
            *(
                cloudwatch.GraphWidget(title=title, left=[*metrics], left_y_axis=axis, width=width)
                for title, metrics, axis in graphs
            )
        )


def _count(metric: cloudwatch.IMetric) -> int:
    """How many metrics count: those in an expression, although they are not shown."""
    return len(metric.using_metrics or {}) if isinstance(metric, cloudwatch.MathExpression) else 1
