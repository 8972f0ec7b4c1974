"""CloudWatch Logs → subscription filter → Lambda; batches that fail → failure queue.

Use it to react to single log lines of several applications: alerts with context, metrics that need more than
a pattern. Do not use it to count lines (a metric filter does that without a function), or to archive them
(send them to Firehose).
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import jsii
from aws_cdk import ArnFormat, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_logs_destinations as destinations
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IConstruct, IValidation

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.regions import check_region, is_known, target_of
from cdk_lambda_patterns.core.sharing import record, recorded

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
_FILTERS = Limit("CloudWatch Logs", 1, 5, "subscription filters")
_PATTERN = Limit("CloudWatch Logs", 0, 1_024, "characters")
_REGEXES = Limit("CloudWatch Logs", 0, 2, "regular expressions")
# Quoted text, in which a percent sign is one, or a regular expression.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
_TERMS = re.compile(r'"(?:\\.|[^"\\])*"|(%[^%]*%)')
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
_NAME = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
_STANDARD = "STANDARD"
_ONE_TOKEN = re.compile(r"\$\{Token\[[^\]]+\]\}(?::\*)?")


@check_types
class LogProcessor(Construct):
    """A function that CloudWatch Logs invokes with what is written to log groups.

    It builds the function, a queue for batches that the function failed to process in three attempts (those
    of almost 1 MB are lost: the page says what to do), and for each log group a subscription filter and the
    permission to invoke the function for this log group of this account only. CloudWatch Logs delivers at
    least once, compressed, the events of one log stream together.

    A function that processes what it writes itself would never end. So its own log group is refused, as are
    those of functions that get its results, and a circle of several processors.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        log_groups: Owned, from another stack, or imported by name or ARN, of this account and Region. Others
            can be added later.
        filter_pattern: Which events the function gets, with ``logs.FilterPattern``. A pattern decides about
            single events: if one stack trace is several events, take all of them. Default: all events.
        asynchronous: Retries and maximum age of the batches, and what else Lambda does with them.
        function_options: Settings of the function. Default: 512 MB, 60 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to the queue and the logs when the stack is deleted. Default: they are
            retained.

    Raises:
        ValueError: A log group is given twice, elsewhere, without a name of its own or of a class without
            subscriptions; the pattern is too long, has more than two regular expressions or a bracket
            without the other; or the function would process what its own work writes.

    At synthesis, the CDK refuses a log group to which the app gives more than five subscription filters.

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
        self._log_groups: dict[str, str] = {}  # the path of each, by its identity
        self.node.add_validation(_HaveRoom(self, self._log_groups))
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
        _check_pattern(pattern.log_pattern_string)
        self._check_recursion(log_group)
        own_id = f"FilterOf{log_group.node.id}"
        if self.node.try_find_child(own_id):
            own_id += log_group.node.addr[-8:]
        self.function.add_permission(
            f"{own_id}Permission",
            principal=iam.ServicePrincipal("logs.amazonaws.com"),
            # Its own ARN may have ":*" twice, if it is imported by one that is known only at deployment.
            source_arn=Stack.of(self).format_arn(
                service="logs",
                resource="log-group",
                resource_name=f"{log_group.log_group_name}:*",
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            ),
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
        """Check that the function would not process what its own work writes."""
        name = _identity(log_group)
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
        for target in written:
            record(self, "log-processor", [name, target, self.node.path])
        self._log_groups[name] = log_group.node.path


@jsii.implements(IValidation)
class _HaveRoom:
    """The app gives no log group of a processor too many filters, whoever adds them, and when."""

    def __init__(self, scope: Construct, log_groups: Mapping[str, str]) -> None:
        self._scope, self._log_groups = scope, log_groups

    def validate(self) -> list[str]:
        """Return what is wrong; the CDK calls this at synthesis."""
        processors = {(name, path) for name, _, path in recorded(self._scope, "log-processor")}
        paths = {path for _, path in processors}
        found, wrong = Counter(name for name, _ in processors), []
        for one in self._scope.node.root.node.find_all():
            if not isinstance(one, logs.CfnSubscriptionFilter):
                continue
            if one.node.path.rpartition("/FilterOf")[0] not in paths:
                found[_identity_of(one, one.log_group_name)] += 1
        for name, path in self._log_groups.items():
            try:
                _FILTERS.check(f"number of subscription filters of {path}", found[name])
            except ValueError as error:
                wrong.append(str(error))
        return wrong


def _check_log_group(scope: Construct, argument: str, group: logs.ILogGroup) -> None:
    why = "CloudWatch Logs invokes functions for log groups of their own account and Region"
    name, resource = group.log_group_name, _resource(group.log_group_name, group.log_group_arn)
    check_region(scope, why, {argument: resource.attr_arn if resource else group}, in_account=True)
    if not name or (is_known(name) and not _NAME.fullmatch(name)):
        raise ValueError(
            f"{argument}={name!r}: a subscription filter is on one log group, by its name of 1 to 512 "
            "letters, digits and ._-/#; a wildcard would also match the log group of the processor itself. "
            "Give each log group."
        )
    log_class = resource.log_group_class if resource else None
    if log_class is not None and is_known(log_class) and log_class != _STANDARD:
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch_Logs_Log_Classes.html
        raise ValueError(
            f"{argument}={group.node.path}: its class is {log_class}, and only log groups of the class "
            f"{_STANDARD} have subscription filters; give one of that class."
        )


def _check_pattern(pattern: str) -> None:
    """Check what is sure without reading the whole pattern: CloudWatch Logs does that."""
    if not is_known(pattern):
        return
    _PATTERN.check("length of filter_pattern", len(pattern))
    regexes = [one for one in _TERMS.findall(pattern) if one]
    _REGEXES.check("number of regular expressions in filter_pattern", len(regexes))
    text = pattern.strip()
    for first, last in ("{}", "[]"):
        if text.startswith(first) and not text.endswith(last):
            raise ValueError(
                f"filter_pattern={pattern!r}: a filter pattern that starts with {first} ends with {last}; "
                "close it, or put text that is to be found in quotation marks."
            )


def _identity(group: logs.ILogGroup) -> str:
    return _identity_of(group, group.log_group_name, group.log_group_arn)


def _identity_of(scope: IConstruct, name: str, arn: str = "") -> str:
    """A name that is the same whatever refers to a log group, in any stack, as far as the app knows."""
    resource = _resource(name, arn)
    stack = Stack.of(resource or target_of(name) or scope)
    given = stack.resolve(resource.log_group_name) if resource else None
    found = given or stack.resolve(resource.ref if resource else name)
    return found if isinstance(found, str) else f"{stack.node.path} {json.dumps(found)}"


def _resource(*references: str) -> logs.CfnLogGroup | None:
    """The log group of this app to which a name or an ARN refers, if it does."""
    for one in references:
        target = target_of(one) if _ONE_TOKEN.fullmatch(one) else None
        if isinstance(target, logs.CfnLogGroup):
            return target
    return None


def _written_by(function: HardenedFunction) -> Iterator[str]:
    """The log groups that are written when the function works: its own, and those of functions behind it."""
    yield _identity(function.log_group)
    configured = function.node.find_child("EventInvokeConfig").node.default_child
    assert isinstance(configured, lambda_.CfnEventInvokeConfig)
    config = configured.destination_config
    assert isinstance(config, lambda_.CfnEventInvokeConfig.DestinationConfigProperty)
    for given in (config.on_success, config.on_failure):
        target = target_of(getattr(given, "destination", ""))
        if isinstance(target, lambda_.CfnFunction):
            logging = target.logging_config
            own = isinstance(logging, lambda_.CfnFunction.LoggingConfigProperty) and logging.log_group
            yield _identity_of(target, own or f"/aws/lambda/{target.ref}")
