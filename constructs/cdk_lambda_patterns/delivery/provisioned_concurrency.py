"""Callers → alias → environments that are initialized in advance; Auto Scaling changes how many there are.

Use it for a function whose callers wait for the answer, and that takes long to initialize. Do not use it for
work from queues, where a cold start delays no caller; nor to keep one function from using up the concurrency
of others: that is ``FunctionOptions(reserved_concurrent_executions=...)``, which costs nothing.
"""

from collections.abc import Mapping
from typing import Annotated

from aws_cdk import Duration, Stack, Token
from aws_cdk import aws_applicationautoscaling as appscaling
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.aliases import (
    ALIAS_PLACE,
    PROVISIONED,
    check_alias_name,
    check_provisioned,
    claim_alias,
    copy_async_configuration,
    is_alias,
    version_of,
)
from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.regions import check_region

# https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
_CAPACITY = Limit("Application Auto Scaling", 0, 1_000_000)
# https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_lambda.UtilizationScalingOptions.html
_UTILIZATION = Limit("the CDK", 0.1, 0.9, whole=False)


@check_types
class ProvisionedConcurrencyAlias(Construct):
    """An alias whose provisioned concurrency Application Auto Scaling changes.

    It builds a version of the function, an alias (unless you give one), a scalable target with a scheduled
    action for each schedule, and a policy of target tracking. When the function changes, deploying the stack
    publishes a version, and Lambda initializes its environments before the deployment is complete.

    Args:
        function: A function of this stack, of which every change is published; a version, for example
            ``lambda_.Version.from_version_arn``; or an alias of this app, for example
            ``CanaryAlias(...).alias``.
        min_capacity: The least provisioned concurrency, 0 or more. Give what is needed when traffic begins:
            an alias without any has no utilization that could ask for more.
        max_capacity: The most.
        utilization_target: The share of the provisioned concurrency that is in use, 0.1 to 0.9, which target
            tracking aims for. Default: no target tracking.
        schedules: Changes of the range by the clock, by their name; each with its own ``time_zone``, by
            default UTC. Default: none.
        scale_in_cooldown: How long nothing is taken away after something was. Default: no time.
        scale_out_cooldown: How long nothing is added after something was. Default: no time.
        alias_name: Name of the alias, unique for the function. Default: ``live``. Not with an alias.

    Raises:
        ValueError: A value is outside what Lambda or Application Auto Scaling allow, nothing would ever
            change the number, or the function is imported without a version, is from another stack, or has
            SnapStart or less reserved concurrency.

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
        _UTILIZATION.check("utilization_target", utilization_target)
        if utilization_target is None and not schedules and min_capacity != max_capacity:
            raise ValueError(
                f"min_capacity={min_capacity} and max_capacity={max_capacity:,}: nothing changes the number; "
                "give utilization_target or schedules, or the same number twice."
            )
        self.alias = self._alias_of(function, alias_name, max_capacity)
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
        self, function: lambda_.IFunction, alias_name: str | None, max_capacity: int
    ) -> lambda_.Alias:
        if is_alias(function):
            return _given_alias(function, alias_name, max_capacity)
        name = alias_name or "live"
        check_alias_name(f"alias_name={name!r}", name)
        version = version_of(function, Stack.of(self))
        check_region(self, ALIAS_PLACE, {"function": version}, in_account=True)
        claim_alias(self, version.lambda_, name)
        check_provisioned(version.lambda_, "max_capacity", max_capacity)
        alias = lambda_.Alias(self, "Alias", alias_name=name, version=version)
        copy_async_configuration(version.lambda_, alias)
        return alias


def _given_alias(alias: lambda_.IAlias, alias_name: str | None, max_capacity: int) -> lambda_.Alias:
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
    check_provisioned(alias.lambda_, "max_capacity", max_capacity)
    return alias


def _check_range(
    min_capacity: int, max_capacity: int, schedules: Mapping[str, appscaling.ScalingSchedule]
) -> None:
    _CAPACITY.check("min_capacity", min_capacity)
    PROVISIONED.check("max_capacity", max_capacity)
    ranges = {"": (min_capacity, max_capacity)}
    for name, one in schedules.items():
        where = f"schedules[{name!r}]."
        _CAPACITY.check(f"{where}min_capacity", one.min_capacity)
        _CAPACITY.check(f"{where}max_capacity", one.max_capacity)
        if one.min_capacity is None and one.max_capacity is None:
            raise ValueError(f"schedules[{name!r}]: it changes nothing; give min_capacity or max_capacity.")
        low = min_capacity if one.min_capacity is None else int(one.min_capacity)
        high = max_capacity if one.max_capacity is None else int(one.max_capacity)
        ranges[where] = low, high
    for where, (low, high) in ranges.items():
        if low > high and not (Token.is_unresolved(low) or Token.is_unresolved(high)):
            raise ValueError(
                f"{where}min_capacity={low:,} is more than max_capacity={high:,}; lower the one or raise the "
                "other."
            )
