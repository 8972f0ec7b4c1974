"""Callers → alias → environments that are initialized in advance; Auto Scaling changes how many there are.

Use it for a function whose callers wait for the answer, and that takes long to initialize. Do not use it for
work from queues, where a cold start delays no caller; nor to keep one function from using up the concurrency
of others: that is ``FunctionOptions(reserved_concurrent_executions=...)``, which costs nothing.
"""

import re
from collections.abc import Mapping
from typing import Annotated

from aws_cdk import Duration, Stack, Token
from aws_cdk import aws_applicationautoscaling as appscaling
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from cdk_lambda_patterns.core.aliases import (
    ALIAS_PLACE,
    PROVISIONED,
    check_alias_name,
    check_not_on_version,
    check_provisioned,
    claim_alias,
    copy_async_configuration,
    is_alias,
    version_of,
)
from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.core.schedule_expressions import check_expression
from cdk_lambda_patterns.core.sharing import identity, record, recorded

# https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
_CAPACITY = Limit("Application Auto Scaling", 0, 1_000_000)
# https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_lambda.UtilizationScalingOptions.html
_UTILIZATION = Limit("the CDK", 0.1, 0.9, whole=False)
# https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-quotas.html
_SCHEDULES = Limit("Application Auto Scaling", 0, 200, "schedules")
# https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScheduledAction.html
_ACTION = re.compile(r"(?! )[^:/|\x00-\x1f\x7f-\x9f]{1,256}(?<! )")
_USE = "provisioned concurrency"


@check_types
class ProvisionedConcurrencyAlias(Construct):
    """An alias whose provisioned concurrency Application Auto Scaling changes.

    It builds a version of the function, an alias (unless you give one), a scalable target with a scheduled
    action for each schedule, and a policy of target tracking. When the function changes, deploying the stack
    publishes a version, and Lambda initializes its environments before the deployment is complete, if the
    alias has provisioned concurrency at that time. The first deployment waits for none: Auto Scaling asks for
    them, and the alias has no number in its template, to which every deployment would set it again.

    Args:
        function: A function of this stack, of which every change is published; a version, for example
            ``lambda_.Version.from_version_arn``; or an alias of this app, for example
            ``CanaryAlias(...).alias``.
        min_capacity: The least provisioned concurrency, 0 or more. Give what is needed when traffic begins:
            an alias without any has no utilization that could ask for more, so 0 needs a schedule.
        max_capacity: The most.
        utilization_target: The share of the provisioned concurrency that is in use, 0.1 to 0.9, which target
            tracking aims for. Default: no target tracking.
        schedules: Changes of the range by the clock, by their name; each with its own ``time_zone``, by
            default UTC. Each changes what it gives only: give both ends where an earlier one has changed the
            other. Default: none.
        scale_in_cooldown: How long nothing is taken away after something was. Default: no time.
        scale_out_cooldown: How long nothing is added after something was. Default: no time.
        alias_name: Name of the alias, unique for the function. Default: ``live``. Not with an alias.

    Raises:
        ValueError: A value is outside what Lambda or Application Auto Scaling allow, nothing would ever
            change the number, one schedule would contradict another, or the function is imported without a
            version, is from another stack, or has SnapStart or less reserved concurrency.

    Attributes:
        alias (Alias): An ``IFunction``. Attach triggers, permissions, function URLs and targets to it: an
            invocation of the function itself does not use provisioned concurrency.
        scaling (IScalableFunctionAttribute): The scalable target.

    Example::

        quotes = HardenedFunction(self, "Quotes", code="worker")
        eight = appscaling.Schedule.cron(hour="8", minute="0")
        peak = appscaling.ScalingSchedule(schedule=eight, time_zone=TimeZone.EUROPE_BERLIN, min_capacity=10)
        live = ProvisionedConcurrencyAlias(
            self, "Live", function=quotes, min_capacity=1, max_capacity=20, schedules={"Morning": peak}
        )
        live.alias.add_function_url()

    https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: Annotated[
            lambda_.Function | lambda_.IVersion | lambda_.Alias,
            "version_of says why others cannot be released",
        ],
        min_capacity: int,
        max_capacity: int,
        utilization_target: float | None = None,
        schedules: Mapping[str, appscaling.ScalingSchedule] | None = None,
        scale_in_cooldown: Duration | None = None,
        scale_out_cooldown: Duration | None = None,
        alias_name: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        schedules = schedules or {}
        _check_range(min_capacity, max_capacity, schedules)
        _check_schedules(schedules)
        _UTILIZATION.check("utilization_target", utilization_target)
        if utilization_target is None and (scale_in_cooldown is not None or scale_out_cooldown is not None):
            raise ValueError(
                "scale_in_cooldown and scale_out_cooldown are for target tracking; give utilization_target "
                "as well, or leave them out."
            )
        if utilization_target is None and not schedules and min_capacity != max_capacity:
            raise ValueError(
                f"min_capacity={min_capacity} and max_capacity={max_capacity:,}: nothing changes the number; "
                "give utilization_target or schedules, or the same number twice."
            )
        most = {"max_capacity": max_capacity}
        for name, one in schedules.items():
            if one.max_capacity is not None:
                most[f"schedules[{name!r}].max_capacity"] = int(one.max_capacity)
        self.alias = self._alias_of(function, alias_name, most)
        self.scaling = self.alias.add_auto_scaling(min_capacity=min_capacity, max_capacity=max_capacity)
        for name, one in schedules.items():
            self.scaling.scale_on_schedule(
                name,
                schedule=one.schedule,
                time_zone=one.time_zone,
                min_capacity=one.min_capacity,
                max_capacity=one.max_capacity,
                start_time=one.start_time,
                end_time=one.end_time,
            )
        if utilization_target is not None:
            self.scaling.scale_on_utilization(
                utilization_target=utilization_target,
                scale_in_cooldown=scale_in_cooldown,
                scale_out_cooldown=scale_out_cooldown,
            )

    def _alias_of(
        self, function: lambda_.IFunction, alias_name: str | None, most: Mapping[str, int]
    ) -> lambda_.Alias:
        if is_alias(function):
            return _given_alias(function, alias_name, most)
        name = "live" if alias_name is None else alias_name
        check_alias_name(f"alias_name={name!r}", name)
        version = version_of(function, Stack.of(self))
        check_region(self, ALIAS_PLACE, {"function": version}, in_account=True)
        claim_alias(self, version.lambda_, name)
        _check_most(version, most)
        alias = lambda_.Alias(self, "Alias", alias_name=name, version=version)
        copy_async_configuration(version.lambda_, alias)
        return alias


def _given_alias(alias: lambda_.IAlias, alias_name: str | None, most: Mapping[str, int]) -> lambda_.Alias:
    """Return an alias that Auto Scaling may change.

    Raises:
        ValueError: It is imported, or its template has a number that every deployment would set again.
    """
    where = f"function={alias.node.path}"
    if alias_name is not None:
        raise ValueError(f"alias_name={alias_name!r}: {where} is an alias, which has a name; leave it out.")
    if not isinstance(alias, lambda_.Alias):
        raise ValueError(
            f"{where}: the alias is imported, and belongs to the stack that makes it; scale it there, or "
            "give a version (lambda_.Version.from_version_arn) for an alias of your own."
        )
    resource = alias.node.default_child
    if isinstance(resource, lambda_.CfnAlias) and resource.provisioned_concurrency_config is not None:
        raise ValueError(
            f"{where}: it has provisioned_concurrent_executions, to which a deployment would set the number "
            "again; leave them out, and give min_capacity here."
        )
    _check_most(alias.version, most)
    return alias


def _check_most(version: lambda_.IVersion, most: Mapping[str, int]) -> None:
    """Check that a function may have the most that is asked for, with that of its other aliases."""
    check_not_on_version(version, "function")
    function = version.lambda_
    others = [
        number for name, number in recorded(function, _USE) if name == identity(function, "function_arn")
    ]
    for argument, number in most.items():
        check_provisioned(function, argument, number)
        if others and not Token.is_unresolved(number):
            argument = f"with {sum(others):,} of other aliases, {argument}"
            check_provisioned(function, argument, number + sum(others))
    number = max(most.values())
    if not Token.is_unresolved(number):
        record(function, _USE, [identity(function, "function_arn"), number])


def _check_range(
    min_capacity: int, max_capacity: int, schedules: Mapping[str, appscaling.ScalingSchedule]
) -> None:
    _CAPACITY.check("min_capacity", min_capacity)
    PROVISIONED.check("max_capacity", max_capacity)
    ends: list[tuple[str, float | None, float | None]] = [("", min_capacity, max_capacity)]
    for name, one in schedules.items():
        where = f"schedules[{name!r}]."
        _CAPACITY.check(f"{where}min_capacity", one.min_capacity)
        _CAPACITY.check(f"{where}max_capacity", one.max_capacity)
        if one.min_capacity is None and one.max_capacity is None:
            raise ValueError(f"schedules[{name!r}]: it changes nothing; give min_capacity or max_capacity.")
        ends.append((where, one.min_capacity, one.max_capacity))
    for of_low, low, own_high in ends:
        for of_high, own_low, high in ends:
            # What gives one end only comes upon the other as any earlier action has left it.
            meet = of_low == of_high or own_high is None or own_low is None
            if low is None or high is None or not meet or low <= high:
                continue
            if not (Token.is_unresolved(low) or Token.is_unresolved(high)):
                raise ValueError(
                    f"{of_low}min_capacity={low:,.0f} is more than {of_high}max_capacity={high:,.0f}; lower "
                    "the one or raise the other, or give both in the schedules."
                )
    if all(low in (0, None) for _, low, _ in ends):
        raise ValueError(
            "min_capacity=0, and no schedule gives more: an alias without any has no utilization that could "
            "ask for more; give min_capacity, here or in schedules."
        )


def _check_schedules(schedules: Mapping[str, appscaling.ScalingSchedule]) -> None:
    _SCHEDULES.check("schedules", len(schedules))
    for name, one in schedules.items():
        if not _ACTION.fullmatch(name) and not Token.is_unresolved(name):
            raise ValueError(
                f"schedules[{name!r}]: Application Auto Scaling allows 1 to 256 characters in the name of an "
                "action, without colons, slashes, bars, control characters and outer spaces; choose such a "
                "name."
            )
        expression = scheduler.ScheduleExpression.expression(one.schedule.expression_string, one.time_zone)
        try:
            check_expression(expression, "Application Auto Scaling")
        except ValueError as error:
            raise ValueError(f"schedules[{name!r}].{error}") from None
        if one.start_time and one.end_time and one.end_time <= one.start_time:
            raise ValueError(f"schedules[{name!r}]: end_time is not after start_time; give a later one.")
