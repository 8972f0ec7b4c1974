"""CloudWatch Logs → subscription filter → Lambda; batches that fail → failure queue.

Use it to react to single log lines of several applications: alerts with context, metrics that need more than
a pattern. Do not use it to count lines (a metric filter does that without a function), or to archive them
(send them to Firehose).
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import cast

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_logs_destinations as destinations
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.regions import check_region, is_known, target_of
from cdk_lambda_patterns.core.sharing import identity, record, recorded

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
_FILTERS = Limit("CloudWatch Logs", 1, 5, "subscription filters")
_PATTERN = Limit("CloudWatch Logs", 0, 1_024, "characters")
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
_NAME = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
_STANDARD = "STANDARD"


@check_types
class LogProcessor(Construct):
    """A function that CloudWatch Logs invokes with what is written to log groups.

    It builds the function, a queue for batches that the function failed to process in three attempts, and for
    each log group a subscription filter and the permission to invoke the function for this log group of this
    account only. CloudWatch Logs delivers at least once, compressed, the events of one log stream together.

    A function that processes what it writes itself would never end. So its own log group is refused, as are
    those of functions that get its results, and a circle of several processors.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        log_groups: Owned, from another stack, or imported by name, of this account and Region. Others can be
            added later.
        filter_pattern: Which events the function gets, with ``logs.FilterPattern``. A pattern decides about
            single events: if one stack trace is several events, take all of them. Default: all events.
        asynchronous: Retries and maximum age of the batches, and what else Lambda does with them.
        function_options: Settings of the function. Default: 512 MB, 60 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to the queue and the logs when the stack is deleted. Default: they are
            retained.

    Raises:
        ValueError: A log group is given twice, elsewhere, without a name of its own, of a class without
            subscriptions or full (5 filters); the pattern is too long; or the function would process what
            its own work writes.

    Attributes:
        function (HardenedFunction): The function.
        failure_queue (IQueue): Batches that the function failed to process.

    Example::

        shop = logs.LogGroup(self, "Shop")
        till = logs.LogGroup.from_log_group_name(self, "Till", "/app/till")
        errors = logs.FilterPattern.string_value("$.level", "=", "ERROR")
        processor = LogProcessor(self, "Errors", code="worker", log_groups=[shop], filter_pattern=errors)
        processor.add_log_group(till, logs.FilterPattern.all_events())

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        handler: str = DEFAULT_HANDLER,
        log_groups: Sequence[logs.ILogGroup],
        filter_pattern: logs.IFilterPattern | None = None,
        asynchronous: AsyncOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        for number, group in enumerate(log_groups):
            _check_log_group(scope, f"log_groups[{number}]", group)
        super().__init__(scope, id)
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            asynchronous=asynchronous or AsyncOptions(),
            # A batch is decompressed to many times its size.
            options=(function_options or FunctionOptions()).with_defaults(
                memory_size=512, timeout=Duration.minutes(1)
            ),
            network=network,
            removal_policy=removal_policy,
        )
        assert self.function.failure_queue is not None
        self.failure_queue: sqs.IQueue = self.function.failure_queue
        self._pattern = filter_pattern or logs.FilterPattern.all_events()
        for group in log_groups:
            self.add_log_group(group)

    def add_log_group(
        self, log_group: logs.ILogGroup, filter_pattern: logs.IFilterPattern | None = None
    ) -> logs.SubscriptionFilter:
        """Subscribe the function to another log group; return the subscription filter.

        Args:
            log_group: As in ``log_groups``.
            filter_pattern: Which of its events the function gets. Default: that of the processor.

        Raises:
            ValueError: As for ``log_groups``.
        """
        _check_log_group(self, "log_group", log_group)
        pattern = filter_pattern or self._pattern
        _PATTERN.check("length of filter_pattern", len(pattern.log_pattern_string))
        self._check_recursion(log_group)
        own_id = f"FilterOf{log_group.node.id}"
        if self.node.try_find_child(own_id):
            own_id += log_group.node.addr[-8:]
        self.function.add_permission(
            f"{own_id}Permission",
            principal=iam.ServicePrincipal("logs.amazonaws.com"),
            source_arn=log_group.log_group_arn,
            source_account=Stack.of(self).account,
            scope=self,
        )
        # Not in the scope of the log group, whose stack would depend on this one.
        subscription = logs.SubscriptionFilter(
            self,
            own_id,
            log_group=log_group,
            destination=destinations.LambdaDestination(
                cast(lambda_.IFunction, self.function), add_permissions=False
            ),
            filter_pattern=pattern,
        )
        # CloudWatch Logs tries to invoke the function when the filter is made.
        subscription.node.add_dependency(self.node.find_child(f"{own_id}Permission"))
        return subscription

    def _check_recursion(self, log_group: logs.ILogGroup) -> None:
        """Check that the function would not process what its own work writes, and how full the group is."""
        name = identity(log_group, "log_group_name")
        written = list(_written_by(self.function))
        edges = [(source, target, path) for source, target, path in recorded(self, "log-processor")]
        if (self.node.path, name) in [(path, source) for source, _, path in edges]:
            raise ValueError(
                f"{log_group.node.path}: {self.node.path} has it already, and would process each of its "
                "events twice; give each log group once."
            )
        reached = set(written)
        while new := {target for source, target, _ in edges if source in reached} - reached:
            reached |= new
        if name in reached:
            raise ValueError(
                f"{log_group.node.path}: {self.node.path} would process what it or its results write, and "
                "write again, without an end; give log groups of other functions only."
            )
        paths = {path for source, _, path in edges if source == name}
        _FILTERS.check(f"number of processors of {log_group.node.path}", len(paths) + 1)
        for target in written:
            record(self, "log-processor", [name, target, self.node.path])


def _check_log_group(scope: Construct, argument: str, group: logs.ILogGroup) -> None:
    why = "CloudWatch Logs invokes functions for log groups of their own account and Region"
    check_region(scope, why, {argument: group}, in_account=True)
    name = group.log_group_name
    if is_known(name) and not _NAME.fullmatch(name):
        raise ValueError(
            f"{argument}={name!r}: a subscription filter is on one log group, by its name; a wildcard would "
            "also match the log group of the processor itself. Give each log group."
        )
    resource = group.node.default_child
    log_class = resource.log_group_class if isinstance(resource, logs.CfnLogGroup) else None
    if log_class is not None and is_known(log_class) and log_class != _STANDARD:
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch_Logs_Log_Classes.html
        raise ValueError(
            f"{argument}={group.node.path}: its class is {log_class}, and only log groups of the class "
            f"{_STANDARD} have subscription filters; give one of that class."
        )


def _written_by(function: HardenedFunction) -> Iterator[str]:
    """The log groups that are written when the function works: its own, and those of functions behind it."""
    yield identity(function.log_group, "log_group_name")
    configured = function.node.find_child("EventInvokeConfig").node.default_child
    assert isinstance(configured, lambda_.CfnEventInvokeConfig)
    config = configured.destination_config
    assert isinstance(config, lambda_.CfnEventInvokeConfig.DestinationConfigProperty)
    for given in (config.on_success, config.on_failure):
        target = target_of(getattr(given, "destination", ""))
        if isinstance(target, lambda_.CfnFunction):
            yield _group_of(target)


def _group_of(function: lambda_.CfnFunction) -> str:
    """The log group of a function, as ``identity`` has it."""
    logging, stack = function.logging_config, Stack.of(function)
    given = logging.log_group if isinstance(logging, lambda_.CfnFunction.LoggingConfigProperty) else None
    named = stack.resolve(getattr(target_of(given or ""), "log_group_name", None))
    name = named or stack.resolve(given or f"/aws/lambda/{function.ref}")
    return name if isinstance(name, str) else f"{stack.node.path} {json.dumps(name)}"
