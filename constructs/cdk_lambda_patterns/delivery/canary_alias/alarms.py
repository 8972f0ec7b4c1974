"""Alarms on the new version of a function while an alias splits its traffic between two.

Lambda publishes metrics of an alias for each version that ran. In the metrics of the whole function, a canary
of 10 % could fail on every call and still be only a tenth of the calls. A throttled call has run no version,
so that alarm counts the throttled calls of the alias in the periods in which the new version ran.

Each version gets new alarms. CloudWatch leaves the state of an alarm unchanged when the alarm is updated, and
CodeDeploy releases nothing while one of its alarms is in ALARM: an alarm that a bad version tripped, and that
now watches its fix, would stop the fix.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/monitoring-create-alarms.html
https://github.com/aws/serverless-application-model/issues/716
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aws_cdk import Aws, Duration, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit, number_in

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
_PERIOD = Limit("CloudWatch", 1, 24 * 60, "minutes")
_COUNT = Limit("an alarm", 1, 1_000_000_000)  # AWS allows 0, but such an alarm would always be on
_DURATION = Limit("Lambda", 0.001, 900, "seconds", whole=False)
_ALARMS = Limit("CodeDeploy", 0, 50)  # https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html


@check_types
@dataclass(frozen=True, kw_only=True)
class ReleaseAlarms:
    """The alarms that stop a release and roll it back.

    Args:
        errors: How many errors of the new version in a period trip the alarm, 1 or more; ``None``
            for no alarm.
        throttles: How many throttled calls of the alias trip the alarm, 1 or more, in a period in which the
            new version runs. Default: no alarm. Set it where only a new version can cause throttling: as
            long as callers of the old version are throttled, this alarm stops every release, also the fix.
        p99_duration: How long the slowest hundredth of the new version's calls take when the alarm trips,
            1 ms to 15 minutes. Default: no alarm.
        period: Period of the alarms, in whole minutes.
        evaluation_periods: How many periods in a row must breach the threshold.
        others: Further alarms of your own, also composite ones. While one of them is in ALARM, nothing can be
            released, also no fix.

    Raises:
        ValueError: A value is outside what CloudWatch or CodeDeploy allow, or an alarm is given twice.

    Example::

        ReleaseAlarms(errors=5, p99_duration=Duration.millis(800))
    """

    errors: int | None = 1
    throttles: int | None = None
    p99_duration: Duration | None = None
    period: Duration = field(default_factory=lambda: Duration.minutes(1))
    evaluation_periods: int = 1
    others: Sequence[cloudwatch.IAlarm] = ()

    def __post_init__(self) -> None:
        _COUNT.check("errors", self.errors)
        _COUNT.check("throttles", self.throttles)
        _COUNT.check("evaluation_periods", self.evaluation_periods)
        _DURATION.check("p99_duration", self.p99_duration)
        if self.period.is_unresolved():
            raise ValueError(
                "period: it is known only when the stack is deployed. Whether an alarm can trip before all "
                "traffic has shifted is checked before; give a period such as Duration.minutes(1)."
            )
        _PERIOD.check("period", self.period.to_minutes(integral=False))
        minutes = self.period.to_minutes()
        longest = 7 * 24 * 60 if minutes >= 60 else 24 * 60
        if self.minutes_to_trip > longest:
            raise ValueError(
                f"period={minutes:g} minutes and evaluation_periods={self.evaluation_periods:,}: CloudWatch "
                f"allows {longest:,} minutes for all periods together, 1,440 if one is shorter than an "
                "hour; choose fewer."
            )
        made = sum(one is not None for one in (self.errors, self.throttles, self.p99_duration))
        _ALARMS.check("number of alarms", made + len(self.others))
        names = [alarm.alarm_name for alarm in self.others]
        if twice := [one.node.path for one in self.others if names.count(one.alarm_name) > 1]:
            raise ValueError(f"others={', '.join(twice)}: CodeDeploy takes each alarm once; leave one out.")

    @property
    def minutes_to_trip(self) -> float:
        """How many minutes an alarm needs at least."""
        return self.period.to_minutes() * self.evaluation_periods


def check_in_time(alarms: ReleaseAlarms, shifting: Duration | None) -> None:
    """Check that an alarm can trip before all traffic has shifted.

    Raises:
        ValueError: All traffic goes to the new version before an alarm can trip.
    """
    if shifting is None or Token.is_unresolved(alarms.evaluation_periods):
        return
    if alarms.minutes_to_trip >= shifting.to_minutes():
        raise ValueError(
            f"alarms need {alarms.minutes_to_trip:g} minutes to trip, but the deployment_config shifts all "
            f"traffic within {shifting.to_minutes():g} minutes: choose a shorter period, fewer "
            "evaluation_periods or a slower deployment_config."
        )


def alarm_names(scope: Construct) -> str:
    """Return what the names of the alarms start with.

    A name has the number of the version at its end. With another name CloudFormation makes another alarm, and
    deletes the old one once the release is complete. The stack's name makes it unique.
    """
    return f"{Aws.STACK_NAME}-{scope.node.id}-{scope.node.addr[-8:]}-"


def make_alarms(
    scope: Construct, version: lambda_.IVersion, alias_name: str, options: ReleaseAlarms
) -> list[cloudwatch.Alarm]:
    """Make the alarms on one version behind an alias.

    Args:
        scope: The parent.
        version: The version that is released.
        alias_name: The alias that it is released to.
        options: Which alarms.
    """
    name = version.lambda_.function_name
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
    of_alias = {"FunctionName": name, "Resource": f"{name}:{alias_name}"}
    of_version = {**of_alias, "ExecutedVersion": version.version}

    def metric(of: str, statistic: str, dimensions: dict[str, str]) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name=of,
            dimensions_map=dimensions,
            statistic=statistic,
            period=options.period,
        )

    throttles = cloudwatch.MathExpression(
        expression="IF(FILL(runs, 0) > 0, throttles, 0)",
        using_metrics={
            "runs": metric("Invocations", "Sum", of_version),
            "throttles": metric("Throttles", "Sum", of_alias),
        },
        label="Throttles while the new version runs",
        period=options.period,
    )
    p99 = options.p99_duration
    duration_ms = None if p99 is None else number_in("milliseconds", "p99_duration", p99)
    alarms: list[tuple[str, cloudwatch.IMetric, float | None]] = [
        ("Errors", metric("Errors", "Sum", of_version), options.errors),
        ("Throttles", throttles, options.throttles),
        ("Latency", metric("Duration", "p99", of_version), duration_ms),
    ]
    return [
        cloudwatch.Alarm(
            scope,
            f"{kind}Alarm",
            alarm_name=f"{alarm_names(scope)}{kind}-{version.version}",
            metric=watched,
            alarm_description=f"{kind} behind the alias {alias_name}; stops the release of a version",
            threshold=threshold,
            evaluation_periods=options.evaluation_periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        for kind, watched, threshold in alarms
        if threshold is not None
    ]
