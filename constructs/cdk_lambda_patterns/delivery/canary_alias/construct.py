"""Callers → alias → old and new version of a function, by CodeDeploy; on trouble → the old version alone.

Use it for a function whose callers must not all meet the mistakes of a new version, and where a share of them
tells soon enough whether it is one. Do not use it when a version must never run beside the one before it (a
changed format of data that both write), or for aliases whose weights you set yourself: CodeDeploy takes an
alias with one version alone.
"""

from collections.abc import Sequence

from aws_cdk import Stack, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.aliases import check_alias_name, keep, keep_failures, publish
from cdk_lambda_patterns.core.limits import check_range
from cdk_lambda_patterns.core.permissions import acknowledge_wildcard
from cdk_lambda_patterns.delivery.canary_alias.alarms import ReleaseAlarms, check_in_time, make_alarms
from cdk_lambda_patterns.delivery.canary_alias.hooks import (
    SmokeCase,
    SmokeTest,
    TrafficCheck,
    grant_answering,
    make_post_traffic_hook,
    make_pre_traffic_hook,
)
from cdk_lambda_patterns.delivery.canary_alias.strategies import Strategy, duration_of, make_deployment_config

__all__ = ["CanaryAlias", "ReleaseAlarms", "SmokeCase", "SmokeTest", "TrafficCheck"]

_PROVISIONED = (1, 1_000_000)  # far above any account's quota: catches a slip, refuses nobody


class CanaryAlias(Construct):
    """An alias to which new versions of a function are released step by step, and taken back on trouble.

    It builds a version of the function, an alias, and a CodeDeploy application and deployment group with a
    role of its own. A changed function then is a new version, which a deployment of the stack releases by
    the strategy. A hook that fails, an alarm or a stop by hand move the alias back to the version before,
    and roll back the stack. A version whose release succeeded is kept when the next one comes; one whose
    release failed goes with the rollback, so that the same code can be tried again.

    Args:
        function: A function of this stack, of which each change becomes a version; or a version, for example
            ``lambda_.Version.from_version_arn``, to release what is published elsewhere.
        strategy: A predefined strategy (``codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_15_MINUTES``),
            or ``codedeploy.TrafficRouting`` with a percentage of 1 to 99 and an interval in whole minutes, up
            to 48 hours from the first shift to the last. Default: 10 percent for 5 minutes.
        alias_name: Name of the alias, unique for the function.
        alarms: What stops a release. Default: a single error of the new version, or a throttled call.
        pre_traffic: A `SmokeTest`, or a function that answers CodeDeploy itself. Default: no hook.
        post_traffic: A `TrafficCheck`, or a function that answers CodeDeploy itself. Default: no hook.
        provisioned_concurrency: Instances that are kept ready for the alias. Default: none.

    Raises:
        ValueError: A value is outside of what CodeDeploy or Lambda allow, or the function is an alias, is
            imported without a version, or is of another stack.

    Attributes:
        alias (Alias): What triggers, permissions, function URLs and targets attach to; an ``IFunction``.
        version (IVersion): What the alias points at once the stack is deployed.
        application (ILambdaApplication): CodeDeploy's application.
        deployment_group (LambdaDeploymentGroup): CodeDeploy's deployment group.
        deployment_role (Role): What CodeDeploy does, it does in this role.
        alarms (tuple[IAlarm, ...]): All that stop a release, made ones first.
        pre_traffic (IFunction | None): The hook before traffic.
        post_traffic (IFunction | None): The hook after traffic.

    Example::

        function = HardenedFunction(self, "Worker", code="worker")
        canary = CanaryAlias(
            self,
            "Live",
            function=function,
            pre_traffic=SmokeTest(cases=[SmokeCase(name="an empty order", payload={})]),
        )
        topic.add_subscription(subscriptions.LambdaSubscription(canary.alias))

    https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: lambda_.Function | lambda_.IVersion,
        strategy: Strategy | None = None,
        alias_name: str = "live",
        alarms: ReleaseAlarms | None = None,
        pre_traffic: SmokeTest | lambda_.IFunction | None = None,
        post_traffic: TrafficCheck | lambda_.IFunction | None = None,
        provisioned_concurrency: int | None = None,
    ) -> None:
        super().__init__(scope, id)
        strategy = strategy or codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES
        options = alarms or ReleaseAlarms()
        check_alias_name(f"alias_name={alias_name!r}", alias_name)
        check_range(
            "provisioned_concurrency", provisioned_concurrency, *_PROVISIONED, unit="", allows="Lambda allows"
        )
        deployment_config = make_deployment_config(self, strategy)
        check_in_time(options, duration_of(strategy))

        self.version = _version_of(function, Stack.of(self))
        self.alias = lambda_.Alias(
            self,
            "Alias",
            alias_name=alias_name,
            version=self.version,
            provisioned_concurrent_executions=provisioned_concurrency,
        )
        keep_failures(self.version.lambda_, self.alias)
        made = make_alarms(self, self.version, alias_name, options)
        self.alarms: tuple[cloudwatch.IAlarm, ...] = (*made, *options.others)

        self.deployment_role = iam.Role(
            self, "DeploymentRole", assumed_by=iam.ServicePrincipal("codedeploy.amazonaws.com")
        )
        self.deployment_group = self._make_group(deployment_config)
        self.application = self.deployment_group.application
        self.pre_traffic = self._make_pre_traffic(pre_traffic)
        self.post_traffic = self._make_post_traffic(post_traffic)
        self._write_out_deployment_role()

    def _make_group(
        self, deployment_config: codedeploy.ILambdaDeploymentConfig
    ) -> codedeploy.LambdaDeploymentGroup:
        return codedeploy.LambdaDeploymentGroup(
            self,
            "DeploymentGroup",
            alias=self.alias,
            alarms=list(self.alarms),
            deployment_config=deployment_config,
            auto_rollback=codedeploy.AutoRollbackConfig(
                failed_deployment=True,
                stopped_deployment=True,
                deployment_in_alarm=bool(self.alarms),
            ),
            # The CDK gives an AWS-managed policy to any role but one that takes no policies.
            role=self.deployment_role.without_policy_updates(),
        )

    def _make_pre_traffic(self, given: SmokeTest | lambda_.IFunction | None) -> lambda_.IFunction | None:
        if given is None:
            return None
        hook = given
        if isinstance(hook, SmokeTest):
            hook = make_pre_traffic_hook(self, self.version.lambda_, hook)
        self.deployment_group.add_pre_hook(hook)
        self._admit(hook)
        return hook

    def _make_post_traffic(self, given: TrafficCheck | lambda_.IFunction | None) -> lambda_.IFunction | None:
        if given is None:
            return None
        hook = given
        if isinstance(hook, TrafficCheck):
            hook = make_post_traffic_hook(self, self.version.lambda_, hook)
        self.deployment_group.add_post_hook(hook)
        self._admit(hook)
        return hook

    def _admit(self, hook: lambda_.IFunction) -> None:
        """Let CodeDeploy and a hook talk to each other, before a release makes them."""
        grant_answering(hook, self.deployment_group)
        self._allow([hook.function_arn], "lambda:InvokeFunction")
        if hook.role is not None:
            self.alias.node.add_dependency(hook.role)

    def _write_out_deployment_role(self) -> None:
        """Give CodeDeploy what AWSCodeDeployRoleForLambdaLimited holds, for this function and these alarms.

        https://docs.aws.amazon.com/codedeploy/latest/userguide/getting-started-create-service-role.html
        """
        arn = self.version.lambda_.function_arn
        self._allow([arn], "lambda:GetAlias", "lambda:UpdateAlias")
        self._allow([f"{arn}:{self.alias.alias_name}"], "lambda:GetProvisionedConcurrencyConfig")
        if all(isinstance(alarm, cloudwatch.Alarm) for alarm in self.alarms):
            if self.alarms:
                self._allow([alarm.alarm_arn for alarm in self.alarms], "cloudwatch:DescribeAlarms")
        else:
            self._allow(["*"], "cloudwatch:DescribeAlarms")
            acknowledge_wildcard(
                self.deployment_role,
                "*",
                "CloudWatch tells of composite alarms only those who may describe all of them: "
                "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html",
            )
        # A release begins when the alias changes, so what it needs has to be there before.
        self.alias.node.add_dependency(self.deployment_role)

    def _allow(self, resources: Sequence[str], *actions: str) -> None:
        self.deployment_role.add_to_principal_policy(
            iam.PolicyStatement(actions=list(actions), resources=list(resources))
        )


def _version_of(function: lambda_.Function | lambda_.IVersion, stack: Stack) -> lambda_.IVersion:
    """The version that is released.

    Raises:
        ValueError: There is none that could be.
    """
    # The CDK's interfaces cannot be asked for with isinstance, and imported resources are of hidden classes.
    if hasattr(function, "alias_name"):
        raise ValueError(
            f"function={function.node.path}: it is an alias, and an alias points at a version, never at an "
            "alias; give the function that this alias is of."
        )
    if isinstance(function, lambda_.Function | lambda_.Version) and Stack.of(function) is not stack:
        raise ValueError(
            f"function={function.node.path}: it is of another stack, and its versions change with each "
            "release, while CloudFormation lets no value change that another stack imports; make the "
            "CanaryAlias in the stack of the function."
        )
    if isinstance(function, lambda_.Function):
        return publish(function)
    if not hasattr(function, "version"):
        raise ValueError(
            f"function={function.node.path}: it is imported, so nobody here knows when it changes; give a "
            "version of it (lambda_.Version.from_version_arn)."
        )
    if isinstance(function, lambda_.Version):
        keep(function)
    if not Token.is_unresolved(function.version) and function.version == "$LATEST":
        raise ValueError(
            f"function={function.node.path}: $LATEST is no published version, and CodeDeploy shifts traffic "
            "between published ones; give the function itself or one of its versions."
        )
    return function
