"""EventBridge Scheduler (cron, rate, one time) → Lambda; what each of them fails to deliver → its own queue.

Use it for work at fixed times, in a time zone. Do not use it for a step that waits within a workflow (Step
Functions), or for work that takes longer than Lambda's 15 minutes.
"""

import json
from collections.abc import Mapping
from typing import Any

import jsii
from aws_cdk import Annotations, Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.failure_queue import check_standard, make_failure_queue
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit, number_in
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import grant_on_table, grant_send
from cdk_lambda_patterns.core.regions import TABLE_PLACE, check_region
from cdk_lambda_patterns.core.schedule_expressions import check_expression, has_passed
from cdk_lambda_patterns.core.table import check_keys, make_table, text

# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_FlexibleTimeWindow.html
_WINDOW = Limit("EventBridge Scheduler", 1, 1440, "minutes")
# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html
_RETRIES = Limit("EventBridge Scheduler", 0, 185)
_AGE = Limit("EventBridge Scheduler", 60, 86_400, "seconds")
# The CDK is JavaScript.
_LARGEST_INTEGER = 2**53 - 1
# Lambda retries after one minute and after two more.
_LAST_RETRY = 180


@check_types
class ScheduledFunction(Construct):
    """A function that EventBridge Scheduler invokes, and a table that keeps its runs apart.

    It builds the function, the schedule, a role with which the schedule may invoke this function only, and
    two queues. What Scheduler cannot deliver, because the function or the permission is gone, goes to the
    dead-letter queue of the *schedule*. What the function failed to process in three attempts goes to the
    failure queue of the *function*, as a record with the reason.

    The event has the fields ``scheduled_time``, ``execution_id``, ``attempt_number`` and ``schedule_arn``
    from Scheduler, and ``payload``. Scheduler and Lambda deliver at least once, so the scheduled time is the
    idempotency key. For that and for a lease that keeps runs from overlapping, the function gets a table
    (the environment variable ``RUNS_TABLE_NAME``) and the permissions for transactions on it.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        schedule: When it runs: ``scheduler.ScheduleExpression.cron``, ``rate`` or ``at``, with a time zone.
            A time that does not exist when clocks go forward is skipped; one that comes twice runs once.
        handler: ``module.function`` in that folder.
        payload: More for the function, JSON. Default: nothing.
        flexible_window: Within 1 to 1,440 minutes after the scheduled time, Scheduler chooses when it runs.
            Default: within the minute.
        retry_attempts: How often Scheduler repeats a call to Lambda that failed, 0 to 185.
        max_event_age: For how long it does, 60 seconds to 24 hours. Default: 24 hours.
        schedule_group: The group of the schedule, owned or imported. Default: ``default``.
        enabled: Whether the schedule runs.
        undelivered_queue: The dead-letter queue of the schedule. Default: a new one.
        runs_table: Owned or imported. Its partition key is ``id``, and its time to live attribute
            ``expires_at``. Default: a new table.
        asynchronous: Retries and maximum age of the events that Lambda has accepted.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to table, queues and logs when the stack is deleted. Default: they are
            retained.

    Raises:
        ValueError: Scheduler would refuse the expression, its time zone or a number, the queue is FIFO or in
            another Region, or the table has other keys.

    Attributes:
        function (HardenedFunction): The function.
        schedule (Schedule): The schedule.
        schedule_role (Role): The role with which Scheduler invokes the function.
        runs_table (ITable): The table with the lease and the runs.
        undelivered_queue (IQueue): What Scheduler could not deliver.
        failure_queue (IQueue): What the function failed to process.

    Example::

        berlin = TimeZone.of("Europe/Berlin")
        nightly = scheduler.ScheduleExpression.cron(hour="3", minute="0", time_zone=berlin)
        ScheduledFunction(self, "Report", code="worker", schedule=nightly)

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        schedule: scheduler.ScheduleExpression,
        handler: str = DEFAULT_HANDLER,
        payload: Mapping[str, Any] | None = None,
        flexible_window: Duration | None = None,
        retry_attempts: int = 185,
        max_event_age: Duration | None = None,
        schedule_group: scheduler.IScheduleGroup | None = None,
        enabled: bool = True,
        undelivered_queue: sqs.IQueue | None = None,
        runs_table: dynamodb.ITable | None = None,
        asynchronous: AsyncOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        check_expression(schedule)
        if flexible_window is not None and not flexible_window.is_unresolved():
            _WINDOW.check("flexible_window", number_in("minutes", "flexible_window", flexible_window))
        _RETRIES.check("retry_attempts", retry_attempts)
        _AGE.check("max_event_age", max_event_age)
        check_standard(
            "undelivered_queue", undelivered_queue, "EventBridge Scheduler sends to standard ones only"
        )
        reason = "The dead-letter queue is used in the Region of its schedule"
        check_region(scope, reason, {"undelivered_queue": undelivered_queue})
        group_arn = schedule_group and schedule_group.schedule_group_arn
        reason = "A schedule is in the account and Region of its group"
        check_region(scope, reason, {"schedule_group": group_arn}, in_account=True)
        _check_payload(payload or {})
        check_keys(runs_table, "id", time_to_live_attribute="expires_at")
        check_region(scope, TABLE_PLACE, {"runs_table": runs_table}, in_account=True)
        options = (function_options or FunctionOptions()).with_defaults(
            memory_size=256, timeout=Duration.seconds(30)
        )
        super().__init__(scope, id)
        self._warn_of_long_timeout(options.timeout)
        if has_passed(schedule):
            # No error: a schedule that ran is still part of the app, and unchanged for CloudFormation.
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:timePassed",
                f"{schedule.expression_string} has passed: the schedule will not run again. Remove it, or "
                "give a later time.",
            )

        self.runs_table: dynamodb.ITable = runs_table or make_table(
            self,
            "Runs",
            partition_key=text("id"),
            time_to_live_attribute="expires_at",
            removal_policy=removal_policy,
        )
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            environment={"RUNS_TABLE_NAME": self.runs_table.table_name},
            asynchronous=asynchronous or AsyncOptions(),
            options=options,
            network=network,
            removal_policy=removal_policy,
        )
        actions = ("dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem")
        grant_on_table(self.function.execution_role, self.runs_table, *actions)
        assert self.function.failure_queue is not None
        self.failure_queue: sqs.IQueue = self.function.failure_queue
        self.undelivered_queue: sqs.IQueue = undelivered_queue or make_failure_queue(
            self, "UndeliveredQueue", removal_policy=removal_policy
        )
        self.schedule_role = self._make_schedule_role(schedule_group)
        age = max_event_age or Duration.days(1)
        target = scheduler.ScheduleTargetConfig(
            arn=self.function.function_arn,
            role=self.schedule_role,
            input=scheduler.ScheduleTargetInput.from_object(
                {
                    "scheduled_time": scheduler.ContextAttribute.scheduled_time,
                    "execution_id": scheduler.ContextAttribute.execution_id,
                    "attempt_number": scheduler.ContextAttribute.attempt_number,
                    "schedule_arn": scheduler.ContextAttribute.schedule_arn,
                    "payload": dict(payload or {}),
                }
            ),
            retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                maximum_event_age_in_seconds=number_in("seconds", "max_event_age", age),
                maximum_retry_attempts=retry_attempts,
            ),
            dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(
                arn=self.undelivered_queue.queue_arn
            ),
        )
        window = scheduler.TimeWindow.flexible(flexible_window) if flexible_window else None
        self.schedule = scheduler.Schedule(
            self,
            "Schedule",
            schedule=schedule,
            target=_Target(target),
            schedule_group=schedule_group,
            enabled=enabled,
            time_window=window,
        )
        self.schedule.node.add_dependency(self.schedule_role)  # also on its policy

    def _make_schedule_role(self, group: scheduler.IScheduleGroup | None) -> iam.Role:
        """Make a role as the CDK's targets do, but for this function only (theirs adds all its versions)."""
        arn = (
            group.schedule_group_arn
            if group is not None
            else Stack.of(self).format_arn(
                service="scheduler", resource="schedule-group", resource_name="default"
            )
        )
        trust = {"aws:SourceAccount": Stack.of(self).account, "aws:SourceArn": arn}
        principal = iam.ServicePrincipal("scheduler.amazonaws.com", conditions={"StringEquals": trust})
        role = iam.Role(self, "ScheduleRole", assumed_by=principal)
        iam.Grant.add_to_principal(
            grantee=role, actions=["lambda:InvokeFunction"], resource_arns=[self.function.function_arn]
        )
        grant_send(role, self.undelivered_queue)
        return role

    def _warn_of_long_timeout(self, timeout: Duration | None) -> None:
        if timeout is not None and not timeout.is_unresolved() and timeout.to_seconds() >= _LAST_RETRY:
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:leaseAtRetry",
                f"timeout={timeout.to_seconds():,.0f} seconds: after a crash, the lease is held until this "
                "time is over, and Lambda retries after one minute and after two more. So both retries can "
                "fail, and the run goes to the failure queue. Make the timeout shorter than three minutes, "
                "or redrive that queue.",
            )


@jsii.implements(scheduler.IScheduleTarget)
class _Target:
    def __init__(self, config: scheduler.ScheduleTargetConfig) -> None:
        self._config = config

    def bind(self, _schedule: scheduler.ISchedule) -> scheduler.ScheduleTargetConfig:
        """Return the target. The CDK calls this."""
        return self._config


def _check_payload(payload: Mapping[str, Any]) -> None:
    try:
        json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"payload: {error}; give what JSON can hold.") from None
    _check_survives("payload", payload)


def _check_survives(place: str, value: Any) -> None:
    """Check a value against what the CDK, which writes the JSON, drops or rounds."""
    if value is None:
        raise ValueError(f"{place}: the CDK drops None; leave it out, or give another value for it.")
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        raise ValueError(
            f"{place}={value}: the CDK rounds whole numbers beyond {_LARGEST_INTEGER:,}; give it as text."
        )
    if isinstance(value, Mapping):
        for name, one in value.items():
            _check_survives(f"{place}[{name!r}]", one)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            _check_survives(f"{place}[{index}]", one)
