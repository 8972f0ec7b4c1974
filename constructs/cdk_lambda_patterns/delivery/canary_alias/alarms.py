"""Alarms about the new version of a function alone, while an alias leads its callers to two.

Lambda counts what goes through an alias once for each version that ran. In the numbers of the whole function
a canary of ten percent could fail every time, and nine out of ten of its callers would still be content. What
is throttled has run no version, so that alarm is about the alias.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.limits import check_range

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
_PERIOD_MINUTES = (1, 24 * 60)
_COUNT = (1, 1_000_000_000)  # no limit of AWS: catches a zero, which would always be in alarm
_LATENCY_S = (0.001, 900)
_ALARMS = (0, 50)  # https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html


@dataclass(frozen=True, kw_only=True)
class ReleaseAlarms:
    """What stops a release and takes it back.

    Args:
        errors: How many errors of the new version in a period are too many, 1 or more; ``None`` for no alarm.
        throttles: How many throttled calls of the alias are too many, 1 or more; ``None`` for no alarm.
        p99_latency: How long the slowest hundredth of its calls may take, 1 ms to 15 minutes. Default: no
            alarm.
        period: What an alarm looks at, whole minutes.
        evaluation_periods: How many such periods in a row must be bad.
        others: Alarms of your own, about what the release does elsewhere. Composite ones, too.

    Raises:
        ValueError: A value is outside of what CloudWatch allows.

    Example::

        ReleaseAlarms(errors=5, p99_latency=Duration.millis(800))
    """

    errors: int | None = 1
    throttles: int | None = 1
    p99_latency: Duration | None = None
    period: Duration | None = None
    evaluation_periods: int = 1
    others: Sequence[cloudwatch.IAlarm] = ()

    def __post_init__(self) -> None:
        for name in ("errors", "throttles", "evaluation_periods"):
            check_range(name, getattr(self, name), *_COUNT, unit="", allows="an alarm takes")
        if self.p99_latency is not None:
            seconds = self.p99_latency.to_milliseconds() / 1000
            check_range("p99_latency", seconds, *_LATENCY_S, unit="seconds", allows="Lambda allows")
        minutes, rest = divmod(round(self.looks_at.to_seconds()), 60)
        if rest:
            raise ValueError(
                f"period={minutes * 60 + rest} s: Lambda tells its numbers every minute; give minutes."
            )
        check_range("period", minutes, *_PERIOD_MINUTES, unit="minutes", allows="CloudWatch allows")
        made = sum(one is not None for one in (self.errors, self.throttles, self.p99_latency))
        check_range(
            "number of alarms", made + len(self.others), *_ALARMS, unit="", allows="CodeDeploy allows"
        )

    @property
    def looks_at(self) -> Duration:
        """The period."""
        return self.period or Duration.minutes(1)

    @property
    def reacts_after(self) -> Duration:
        """How long an alarm takes at the least, once something goes wrong."""
        return Duration.seconds(self.looks_at.to_seconds() * self.evaluation_periods)


def check_in_time(alarms: ReleaseAlarms, shifting: Duration | None) -> None:
    """Check that an alarm could trip while there still are callers of the old version.

    Raises:
        ValueError: Everybody has the new version before an alarm about it could trip.
    """
    if shifting is not None and alarms.reacts_after.to_seconds() >= shifting.to_seconds():
        raise ValueError(
            f"alarms over {alarms.reacts_after.to_minutes():g} minutes, and a strategy after whose "
            f"{shifting.to_minutes():g} minutes everybody has the new version: choose a shorter period, "
            "fewer evaluation_periods or a slower strategy."
        )


def make_alarms(
    scope: Construct, version: lambda_.IVersion, alias_name: str, options: ReleaseAlarms
) -> list[cloudwatch.Alarm]:
    """Make the alarms about one version behind an alias.

    Args:
        scope: The parent.
        version: The version that is released.
        alias_name: The alias that it is released to.
        options: Which alarms.
    """
    latency = options.p99_latency.to_milliseconds() if options.p99_latency else None
    asked: list[tuple[str, str, str, float | None]] = [
        ("ErrorsAlarm", "Errors", "Sum", options.errors),
        ("ThrottlesAlarm", "Throttles", "Sum", options.throttles),
        ("LatencyAlarm", "Duration", "p99", latency),
    ]
    return [
        _metric_of(version, alias_name, metric, statistic, options.looks_at).create_alarm(
            scope,
            construct_id,
            alarm_description=f"{metric} behind the alias {alias_name}; stops the release of a version",
            threshold=threshold,
            evaluation_periods=options.evaluation_periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        for construct_id, metric, statistic, threshold in asked
        if threshold is not None
    ]


def _metric_of(
    version: lambda_.IVersion, alias_name: str, metric: str, statistic: str, period: Duration
) -> cloudwatch.Metric:
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
    name = version.lambda_.function_name
    dimensions = {"FunctionName": name, "Resource": f"{name}:{alias_name}"}
    if metric != "Throttles":
        dimensions["ExecutedVersion"] = version.version
    return cloudwatch.Metric(
        namespace="AWS/Lambda",
        metric_name=metric,
        dimensions_map=dimensions,
        statistic=statistic,
        period=period,
    )
