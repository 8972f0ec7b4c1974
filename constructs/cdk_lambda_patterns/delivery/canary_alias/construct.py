"""Callers → alias → old and new version of a function; CodeDeploy shifts the traffic, alarms roll it back.

Use it for a function whose new version should reach a share of its callers first, if that share is large
enough to show a mistake in time. Do not use it when two versions must never run at the same time (for example
because both write data in different formats), or for aliases whose weights you set yourself: CodeDeploy
requires an alias that points at a single version.
"""

from collections.abc import Sequence
from typing import Annotated

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.aliases import (
    ALIAS_PLACE,
    PROVISIONED,
    check_alias_name,
    check_not_on_version,
    check_provisioned,
    claim_alias,
    copy_async_configuration,
    version_of,
)
from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.permissions import acknowledge_wildcard
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.delivery.canary_alias.alarms import (
    ReleaseAlarms,
    alarm_names,
    check_in_time,
    make_alarms,
)
from cdk_lambda_patterns.delivery.canary_alias.deployment_config import (
    DeploymentConfig,
    duration_of,
    make_deployment_config,
)
from cdk_lambda_patterns.delivery.canary_alias.hooks import (
    HooksDoNotNeedTheAlias,
    SmokeTest,
    TrafficCheck,
    grant_report,
    imported_if_elsewhere,
    make_smoke_test,
    make_traffic_check,
)


@check_types
class CanaryAlias(Construct):
    """An alias to which CodeDeploy releases new versions of a function step by step.

    It builds a version of the function, an alias, and a CodeDeploy application and deployment group with its
    own role. When the function changes, deploying the stack publishes a version and releases it as the
    deployment configuration says. If a hook fails, an alarm trips or the deployment is stopped, CodeDeploy
    points the alias at the old version again and the stack rolls back. A released version is retained when
    the next one is published; a version whose release failed is deleted with the rollback, so that the same
    code can be released again.

    Args:
        function: A function of this stack, of which every change is published; or a version, for example
            ``lambda_.Version.from_version_arn``, to release what was published elsewhere.
        deployment_config: A predefined configuration
            (``codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_15_MINUTES``), or a
            ``codedeploy.TrafficRouting`` with a percentage of 1 to 99 and an interval in whole minutes, at
            most 48 hours from the first shift to the last. Default: 10 percent for 5 minutes.
        alias_name: Name of the alias, unique for the function.
        alarms: What stops a release. Default: one error of the new version.
        pre_hook: A `SmokeTest`, or your own function that reports to CodeDeploy. Default: no hook.
        post_hook: A `TrafficCheck`, or your own function that reports to CodeDeploy. Default: no hook.
        provisioned_concurrent_executions: Provisioned concurrency of the alias. Default: none.

    Raises:
        ValueError: A value is outside what CodeDeploy or Lambda allow, or the function is an alias, is
            imported without a version, or is from another stack, or does not suit provisioned concurrency, or
            another construct makes the alias. At synthesis: a hook refers to the alias.

    Attributes:
        alias (Alias): An ``IFunction``. Attach triggers, permissions, function URLs and targets to it.
        version (IVersion): The version that the alias points at once the stack is deployed.
        application (ILambdaApplication): The CodeDeploy application.
        deployment_group (LambdaDeploymentGroup): The CodeDeploy deployment group.
        deployment_role (Role): The service role of the deployment group.
        alarms (tuple[IAlarm, ...]): All alarms that stop a release; those made here first.
        pre_hook (IFunction | None): The hook before traffic shifts.
        post_hook (IFunction | None): The hook after the last shift.

    Example::

        function = HardenedFunction(self, "Worker", code="worker")
        canary = CanaryAlias(
            self,
            "Live",
            function=function,
            post_hook=TrafficCheck(versions_kept=10),
        )
        topic.add_subscription(subscriptions.LambdaSubscription(canary.alias))

    https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: Annotated[
            lambda_.Function | lambda_.IVersion, "version_of says why others cannot be released"
        ],
        deployment_config: DeploymentConfig | None = None,
        alias_name: str = "live",
        alarms: ReleaseAlarms | None = None,
        pre_hook: SmokeTest | lambda_.IFunction | None = None,
        post_hook: TrafficCheck | lambda_.IFunction | None = None,
        provisioned_concurrent_executions: int | None = None,
    ) -> None:
        super().__init__(scope, id)
        deployment_config = deployment_config or codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES
        options = alarms or ReleaseAlarms()
        check_alias_name(f"alias_name={alias_name!r}", alias_name)
        PROVISIONED.check("provisioned_concurrent_executions", provisioned_concurrent_executions)
        config = make_deployment_config(self, deployment_config)
        check_in_time(options, duration_of(deployment_config))

        self.version = version_of(function, Stack.of(self))
        source = self.version.lambda_
        check_region(self, ALIAS_PLACE, {"function": self.version}, in_account=True)
        hooks = {"pre_hook": pre_hook, "post_hook": post_hook}
        own = {name: one for name, one in hooks.items() if not isinstance(one, SmokeTest | TrafficCheck)}
        others = {f"alarms.others[{number}]": alarm for number, alarm in enumerate(options.others)}
        check_region(self, "CodeDeploy finds hooks and alarms by name", {**own, **others}, in_account=True)
        claim_alias(self, source, alias_name)
        check_provisioned(source, "provisioned_concurrent_executions", provisioned_concurrent_executions)
        if provisioned_concurrent_executions is not None:
            check_not_on_version(self.version, "provisioned_concurrent_executions")
        self.alias = lambda_.Alias(
            self,
            "Alias",
            alias_name=alias_name,
            version=self.version,
            provisioned_concurrent_executions=provisioned_concurrent_executions,
        )
        copy_async_configuration(source, self.alias)
        self._made_alarms = make_alarms(self, self.version, alias_name, options)
        self.alarms: tuple[cloudwatch.IAlarm, ...] = (*self._made_alarms, *options.others)
        self.pre_hook: lambda_.IFunction | None = (
            make_smoke_test(self, source, pre_hook) if isinstance(pre_hook, SmokeTest) else pre_hook
        )
        self.post_hook: lambda_.IFunction | None = (
            make_traffic_check(self, source, post_hook) if isinstance(post_hook, TrafficCheck) else post_hook
        )
        # Without a condition, as on AWS's page: CodeDeploy documents no source account or ARN that it sends.
        # https://docs.aws.amazon.com/codedeploy/latest/userguide/getting-started-create-service-role.html
        self.deployment_role = iam.Role(
            self, "DeploymentRole", assumed_by=iam.ServicePrincipal("codedeploy.amazonaws.com")
        )
        self.deployment_group = codedeploy.LambdaDeploymentGroup(
            self,
            "DeploymentGroup",
            alias=self.alias,
            alarms=list(self.alarms),
            deployment_config=config,
            auto_rollback=codedeploy.AutoRollbackConfig(
                failed_deployment=True,
                stopped_deployment=True,
                deployment_in_alarm=bool(self.alarms),
            ),
            pre_hook=imported_if_elsewhere(self, "PreHook", self.pre_hook),
            post_hook=imported_if_elsewhere(self, "PostHook", self.post_hook),
            # The CDK attaches an AWS-managed policy to the role unless the role takes no policies.
            role=self.deployment_role.without_policy_updates(),
        )
        self.application = self.deployment_group.application
        made = [hook for hook in (self.pre_hook, self.post_hook) if hook is not None]
        self.node.add_validation(HooksDoNotNeedTheAlias(self.alias, made))
        self._write_out_deployment_role()

    def _write_out_deployment_role(self) -> None:
        """Grant CodeDeploy what AWSCodeDeployRoleForLambdaLimited grants, on these resources only.

        https://docs.aws.amazon.com/codedeploy/latest/userguide/getting-started-create-service-role.html
        """
        for hook in (self.pre_hook, self.post_hook):
            if hook is not None:
                self._allow([hook.function_arn], "lambda:InvokeFunction")
                permission = grant_report(hook, self.deployment_group)
                if permission is not None:
                    self.alias.node.add_dependency(permission)
        arn = self.version.lambda_.function_arn
        self._allow([arn], "lambda:GetAlias", "lambda:UpdateAlias")
        self._allow([f"{arn}:{self.alias.alias_name}"], "lambda:GetProvisionedConcurrencyConfig")
        self._allow_describing_alarms()
        # A release begins when the alias changes, so its permissions must exist before.
        self.alias.node.add_dependency(self.deployment_role)

    def _allow(self, resources: Sequence[str], *actions: str) -> None:
        self.deployment_role.add_to_policy(
            iam.PolicyStatement(actions=list(actions), resources=list(resources))
        )

    def _allow_describing_alarms(self) -> None:
        others = self.alarms[len(self._made_alarms) :]
        resources, reason = [alarm.alarm_arn for alarm in others], ""
        if self._made_alarms:
            prefix = f"{alarm_names(self)}*"
            resources.insert(
                0,
                Stack.of(self).format_arn(
                    service="cloudwatch",
                    resource="alarm",
                    resource_name=prefix,
                    arn_format=ArnFormat.COLON_RESOURCE_NAME,
                ),
            )
            reason = (
                "Each version has its own alarms. Naming them here would change the policy seconds before it "
                "is used, and IAM takes longer to apply a change."
            )
        if not all(isinstance(alarm, cloudwatch.Alarm) for alarm in others):
            resources = ["*"]
            reason = (
                "CloudWatch returns composite alarms only to a principal that may describe all alarms: "
                "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html"
            )
        if resources:
            self._allow(resources, "cloudwatch:DescribeAlarms")
        if reason:
            acknowledge_wildcard(self.deployment_role, resources[0], reason)
