"""CloudFormation custom resource → answering function → your function.

Use it for what a deployment has to do and CloudFormation cannot, within 14 minutes. Do not use it where a
type of CloudFormation or the CDK's ``AwsCustomResource`` (one SDK call) will do.
"""

from collections.abc import Mapping
from typing import Any

from aws_cdk import Annotations, CustomResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.regions import SAME_REGION, check_region, differ

_RESERVE = 10  # seconds; what the answering function leaves for the answer
_STARTING = 10  # seconds that it may need before it invokes yours
_TIMEOUT = Limit("Lambda, minus what the answer takes,", 1, 900 - _RESERVE - _STARTING, "seconds")
_DEFAULT_TIMEOUT = Duration.minutes(2)
_TO_ARRIVE = 60  # seconds; the longest that the request may wait to be delivered
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-cloudformation-customresource.html
_TYPE_STARTS = "Custom::"


@check_types
class CustomResourceFunction(Construct):
    """A function behind custom resources, and another one that gives CloudFormation exactly one answer.

    Your function gets the request (``RequestType``, ``ResourceProperties``, ``OldResourceProperties``,
    ``PhysicalResourceId`` …) and returns ``{"PhysicalResourceId": …, "Data": {…}, "NoEcho": …}``, each
    optional. The answering function is of this library. It answers

    - ``FAILED`` with the reason if your function raises an exception, is killed or takes too long, or if
      its result is not what CloudFormation takes (more than 4,096 bytes, for one);
    - ``SUCCESS`` to the deletion of a resource whose creation failed, without invoking your function.

    If the answering function itself is killed, there is no answer: the time limit of each resource is little
    more than its own, instead of an hour.

    Your function must be idempotent. Another physical id in an update means another resource: CloudFormation
    deletes the old one when the update is complete. What your function has made before it failed it has to
    remove itself. In ``Delete`` it may get an id that it never returned: that deletes nothing.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``. Or give ``function``.
        handler: ``module.function`` in that folder.
        function: Your function instead: owned, from another stack, or imported, in any language.
        timeout: How long a request may take, up to 880 seconds. Default: 2 minutes. The time limit of the
            function that is made for ``code``; that of ``function`` must not be longer, or it may go on after
            the deployment has failed and was rolled back. Only that of an imported function is not checked.
        function_options: Settings of the function that is made. Default: 256 MB.
        network: The VPC that it runs in. Default: none of yours.
        removal_policy: What happens to queue and logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: Neither or both of code and function are given, a setting is not allowed, or the function
            is in another Region or has a longer time limit.

    Attributes:
        function (IFunction): Your function. Grant it what it works with.
        answering_function (HardenedFunction): What CloudFormation invokes.
        failure_queue (IQueue): Requests that got no answer, if the answering function fails. Each has the URL
            of its answer: let few read them.
        service_token (str): For ``CustomResource``, if ``add_resource`` does not have what you need.
        service_timeout (Duration): The same.

    Example::

        seed = CustomResourceFunction(self, "Seed", code="worker")
        table.grant_write_data(seed.function)
        seed.add_resource("Hours", resource_type="Custom::Row", properties={"Key": "hours", "Text": "9-5"})

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code | None = None,
        handler: str = DEFAULT_HANDLER,
        function: lambda_.IFunction | None = None,
        timeout: Duration | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        if (code is None) == (function is None):
            raise ValueError("code, function: give one of them, and not both.")
        if function is not None and (function_options or network or handler != DEFAULT_HANDLER):
            raise ValueError(
                "function: handler, function_options and network are for the function that is made for code; "
                "leave them out."
            )
        if function_options is not None and function_options.timeout is not None:
            raise ValueError(
                "function_options.timeout: give it as timeout, which also limits the deployment."
            )
        _TIMEOUT.check("timeout", timeout)
        seconds = _seconds(timeout or _DEFAULT_TIMEOUT)
        check_region(scope, SAME_REGION, {"function": function})
        _check_time_limit(function, seconds)
        super().__init__(scope, id)
        self.function: lambda_.IFunction
        if code is not None:
            self.function = HardenedFunction(
                self,
                "Function",
                code=code,
                handler=handler,
                description="Creates, updates and deletes custom resources",
                options=(function_options or FunctionOptions()).with_defaults(
                    timeout=Duration.seconds(seconds)
                ),
                network=network,
                removal_policy=removal_policy,
            )
        else:
            assert function is not None
            self.function = function
        longest = seconds + _STARTING + _RESERVE
        self.answering_function = HardenedFunction(
            self,
            "Answers",
            code=pattern_source("observability", "service_hooks"),
            handler="service_hooks.handler.handler",
            description="Answers CloudFormation for custom resources",
            environment={"PROVIDER_ARN": self.function.function_arn},
            # A second attempt would do the work again, perhaps after CloudFormation has gone on.
            asynchronous=AsyncOptions(retry_attempts=0, max_event_age=Duration.seconds(_TO_ARRIVE)),
            options=FunctionOptions(timeout=Duration.seconds(longest)),
            removal_policy=removal_policy,
        )
        self.answering_function.execution_role.add_to_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.function.function_arn])
        )
        self._warn_of_other_account()
        assert self.answering_function.failure_queue is not None
        self.failure_queue: sqs.IQueue = self.answering_function.failure_queue
        self.service_token = self.answering_function.function_arn
        self.service_timeout = Duration.seconds(longest + _TO_ARRIVE)

    def _warn_of_other_account(self) -> None:
        owner, here = self.function.env.account, Stack.of(self).account
        if differ(owner, here):
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:notGranted",
                f"{self.function.node.path} is in account {owner}. Its owner must allow the role of "
                f"{self.answering_function.node.path} in account {here} lambda:InvokeFunction; until then "
                "each deployment of a resource fails.",
            )

    def add_resource(
        self,
        id: str,
        *,
        resource_type: str | None = None,
        properties: Mapping[str, Any] | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.DESTROY,
        scope: Construct | None = None,
    ) -> CustomResource:
        """Add a resource with the time limit that fits the functions.

        Args:
            id: Its id.
            resource_type: What it is called, such as ``Custom::Row``. Default:
                ``AWS::CloudFormation::CustomResource``.
            properties: What your function gets as ``ResourceProperties``: CloudFormation makes numbers and
                booleans texts.
            removal_policy: Whether your function gets a ``Delete`` request. Default: it does.
            scope: Where it belongs. Default: this construct.

        Raises:
            ValueError: The type does not start with ``Custom::``, or a property is one that CloudFormation
                uses itself.
        """
        if resource_type is not None and not resource_type.startswith(_TYPE_STARTS):
            raise ValueError(f"resource_type={resource_type!r}: give a name such as 'Custom::Row'.")
        for name in ("ServiceToken", "ServiceTimeout"):
            if name in (properties or {}):
                raise ValueError(f"properties: {name} is set by this construct; leave it out.")
        made = CustomResource(
            scope or self,
            id,
            service_token=self.service_token,
            service_timeout=self.service_timeout,
            resource_type=resource_type,
            properties=properties,
            removal_policy=removal_policy,
        )
        made.node.add_dependency(self.answering_function)  # also on its settings for events that fail
        return made


def _check_time_limit(function: lambda_.IFunction | None, seconds: int) -> None:
    """Check the time limit of a function that is known here, also behind a version or an alias."""
    known = getattr(function, "lambda_", function)
    if not isinstance(known, lambda_.Function) or known.timeout is None or known.timeout.is_unresolved():
        return
    if (longer := int(known.timeout.to_seconds())) > seconds:
        raise ValueError(
            f"function: its time limit is {longer} seconds, and timeout={seconds}. It would go on after the "
            "deployment has failed; give a longer timeout, or the function a shorter one."
        )


def _seconds(timeout: Duration) -> int:
    if timeout.is_unresolved():
        raise ValueError("timeout: the other time limits are computed from it; give a value, not a token.")
    return int(timeout.to_seconds())
