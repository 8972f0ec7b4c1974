"""Which alarms there are, and at which values they go off."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from aws_cdk import Duration, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import timeout_of
from cdk_lambda_patterns.core.limits import Limit, number_in
from cdk_lambda_patterns.observability.monitoring.exposed import Exposed, is_asynchronous
from cdk_lambda_patterns.observability.monitoring.metrics import fronts, of_function

_PERCENT = Limit("an alarm on a share", 0.001, 100, "percent", whole=False)
_COUNT = Limit("an alarm", 1, 1_000_000_000)
_AGE = Limit("an alarm on an age", 1, 1_209_600, "seconds", whole=False)  # SQS retains nothing for longer
_EVENT_AGE = Limit("an alarm below what Lambda retains events for", 1, 21_599, "seconds", whole=False)
_PERIOD = Limit("CloudWatch", 1, 24 * 60, "minutes")
_RETAINED = 345_600  # seconds, by a queue that says nothing else
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


@check_types
@dataclass(frozen=True, kw_only=True)
class Alarms:
    """The values at which alarms go off. ``None`` instead of a value means no such alarm.

    Rates are shares of what happened in a period, and count only from ``minimum_count`` on: a single error of
    a function that is rarely used pages no one. What failed permanently is in a failure queue, which has an
    alarm of its own.

    Args:
        error_rate: Percent of a function's invocations that failed.
        throttle_rate: Percent of the attempts to invoke a function that Lambda throttled.
        server_error_rate: Percent of the requests to an API or a load balancer with a status of 5xx, or of
            a state machine's executions that failed, timed out or were aborted.
        dropped_rate: Percent of a function's asynchronous events that were dropped after all retries.
        duration_rate: Percent of its timeout that the slowest hundredth of a function's invocations took. Not
            for imported functions, of which the timeout is unknown.
        queue_age: Age of the oldest message in a queue; less than the queue retains it for.
        stream_age: Age of the records of a stream when a function reads them; less than the stream retains
            them for (a table's stream: 24 hours), which is not checked.
        event_age: Age of the oldest asynchronous event when Lambda invokes the function with it; less than
            six hours. Retries wait for one minute and two more.
        failures_waiting: Messages in a failure queue, which wait for a person.
        minimum_count: Invocations, requests or events in a period without which no rate counts.
        period: Period of the alarms, in whole minutes.
        evaluation_periods: How many of the latest periods count.
        datapoints_to_alarm: How many of them must exceed the value.

    Raises:
        ValueError: A value is outside what CloudWatch allows, or two contradict each other.

    Example::

        Alarms(error_rate=1, queue_age=Duration.hours(1), throttle_rate=None)

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    """

    error_rate: float | None = 5
    throttle_rate: float | None = 5
    server_error_rate: float | None = 5
    dropped_rate: float | None = 5
    duration_rate: float | None = 80
    queue_age: Duration | None = field(default_factory=lambda: Duration.minutes(15))
    stream_age: Duration | None = field(default_factory=lambda: Duration.minutes(5))
    event_age: Duration | None = field(default_factory=lambda: Duration.minutes(15))
    failures_waiting: int | None = 1
    minimum_count: int = 20
    period: Duration = field(default_factory=lambda: Duration.minutes(5))
    evaluation_periods: int = 3
    datapoints_to_alarm: int = 2

    def __post_init__(self) -> None:
        for name in ("error_rate", "throttle_rate", "server_error_rate", "dropped_rate", "duration_rate"):
            _PERCENT.check(name, getattr(self, name))
        for name in ("queue_age", "stream_age"):
            _AGE.check(name, getattr(self, name))
        _EVENT_AGE.check("event_age", self.event_age)
        for name in ("failures_waiting", "minimum_count", "evaluation_periods", "datapoints_to_alarm"):
            _COUNT.check(name, getattr(self, name))
        if self.period.is_unresolved():
            raise ValueError(
                "period: its value is known only when the stack is deployed, and the CDK needs it before; "
                "give a period such as Duration.minutes(5)."
            )
        _PERIOD.check("period", self.period.to_minutes(integral=False))
        if self.datapoints_to_alarm > self.evaluation_periods:
            raise ValueError(
                f"datapoints_to_alarm={self.datapoints_to_alarm:,}: CloudWatch allows at most "
                f"evaluation_periods={self.evaluation_periods:,}; choose a value up to that."
            )
        seconds = self.period.to_seconds() * self.evaluation_periods
        longest = 7 * _DAY if self.period.to_seconds() >= _HOUR else _DAY
        if seconds > longest:
            raise ValueError(
                f"period={self.period.to_minutes():,.0f} minutes and evaluation_periods="
                f"{self.evaluation_periods:,}: CloudWatch allows {longest // _MINUTE:,} minutes for all "
                "periods together, 1,440 if one is shorter than an hour; choose fewer."
            )


@dataclass(frozen=True)
class Watched:
    """What an alarm watches.

    Args:
        label: The path of the resource.
        kind: What goes wrong: ``"Errors"``.
        metric: The metric.
        threshold: The alarm goes off at this value.
        says: What it means, in words for a person.
        hurts: Whether users notice it. If not, it waits for a person, and has a notification of its own.
    """

    label: str
    kind: str
    metric: cloudwatch.IMetric
    threshold: float
    says: str
    hurts: bool = True


def watched_by(alarms: Alarms, exposed: Exposed) -> Iterator[Watched]:
    """Return what the alarms watch.

    Args:
        alarms: At which values they go off.
        exposed: The resources.
    """
    period, least = alarms.period, alarms.minimum_count
    for label, function in exposed.of("function").items():
        metrics = of_function(function, period)
        if alarms.error_rate is not None:
            rate = metrics.rate("errors", "runs", least)
            yield Watched(label, "Errors", rate, alarms.error_rate, "too many invocations fail")
        if alarms.throttle_rate is not None:
            rate = metrics.rate("throttles", "runs + throttles", least)
            yield Watched(label, "Throttles", rate, alarms.throttle_rate, "Lambda throttles invocations")
        timeout = timeout_of(function)
        if alarms.duration_rate is not None and timeout is not None and not timeout.is_unresolved():
            slow = timeout.to_milliseconds() * alarms.duration_rate / 100
            p99 = metrics.only_if("p99", "runs", least)
            yield Watched(label, "Duration", p99, slow, "the slowest invocations are close to the timeout")
        if is_asynchronous(function) and alarms.dropped_rate is not None:
            # Of the events that are done with: they were received minutes before, when retries failed.
            rate = metrics.rate("dropped", "runs - errors + dropped", least)
            yield Watched(label, "Dropped", rate, alarms.dropped_rate, "events fail after all retries")
        if is_asynchronous(function) and alarms.event_age is not None:
            age = number_in("milliseconds", "event_age", alarms.event_age)
            yield Watched(label, "EventAge", metrics["event_age"], age, "asynchronous events are late")
        if label in exposed.stream_readers and alarms.stream_age is not None:
            age = number_in("milliseconds", "stream_age", alarms.stream_age)
            yield Watched(label, "StreamAge", metrics["iterator_age"], age, "records of the stream are late")
    for label, queue in exposed.of("queue").items():
        if alarms.queue_age is not None:
            age = number_in("seconds", "queue_age", alarms.queue_age)
            _check_retention(label, queue, age)
            oldest = queue.metric_approximate_age_of_oldest_message(period=period, statistic="Maximum")
            yield Watched(label, "Age", oldest, age, "messages wait for too long")
    for label, queue in exposed.of("failure_queue").items():
        if alarms.failures_waiting is not None:
            waiting = queue.metric_approximate_number_of_messages_visible(period=period, statistic="Maximum")
            says = "messages failed permanently: mend the cause, then redrive them"
            yield Watched(label, "Failures", waiting, alarms.failures_waiting, says, hurts=False)
    for label, front in fronts(exposed, period):
        if alarms.server_error_rate is not None:
            rate = front.rate(front.failures, front.whole, least)
            yield Watched(label, "ServerErrors", rate, alarms.server_error_rate, "too many requests fail")


def _check_retention(label: str, queue: sqs.IQueue, age: float) -> None:
    """Refuse an age that no message reaches, because SQS deletes it before."""
    resource = queue.node.default_child
    if isinstance(resource, sqs.CfnQueue):
        retained = resource.message_retention_period
        retained = _RETAINED if retained is None else retained
        if not Token.is_unresolved(retained) and age >= retained:
            raise ValueError(
                f"queue_age={age:,.0f} seconds: {label} retains messages for {retained:,.0f} seconds, so the "
                "alarm could not go off; choose less, or a longer retention."
            )
