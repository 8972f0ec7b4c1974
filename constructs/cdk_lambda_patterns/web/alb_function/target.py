"""The target group of a function, and the permission to invoke the function."""

import jsii
from aws_cdk import Stack
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.web.alb_function.options import AlbHealthCheck, AlbOptions

_PERMISSION = "InvokedByLoadBalancer"


def make_target_group(
    scope: Construct, function: lambda_.IFunction, options: AlbOptions
) -> elbv2.ApplicationTargetGroup:
    """Make a target group whose target is a function, a version or an alias."""
    # Registering the target fails unless load balancers may already invoke the function. So the permission
    # comes first, and cannot name the target group, whose ARN is not known yet.
    function.add_permission(
        _PERMISSION,
        principal=iam.ServicePrincipal("elasticloadbalancing.amazonaws.com"),
        source_account=Stack.of(scope).account,
        scope=scope,
    )
    group = elbv2.ApplicationTargetGroup(
        scope,
        "TargetGroup",
        target_type=elbv2.TargetType.LAMBDA,
        targets=[_Target(function)],
        multi_value_headers_enabled=options.multi_value_headers_enabled,
        health_check=_health_check(options.health_check),
    )
    permission = scope.node.try_find_child(_PERMISSION)
    if permission is not None:  # else the function is imported and cannot be changed; the CDK warns
        group.node.add_dependency(permission)
    return group


def _health_check(check: AlbHealthCheck | None) -> elbv2.HealthCheck | None:
    if check is None:  # the default of Elastic Load Balancing for functions
        return None
    return elbv2.HealthCheck(
        enabled=True,
        path=check.path,
        interval=check.interval,
        timeout=check.timeout,
        healthy_threshold_count=check.healthy_threshold_count,
        unhealthy_threshold_count=check.unhealthy_threshold_count,
        healthy_http_codes=check.healthy_http_codes,
    )


@jsii.implements(elbv2.IApplicationLoadBalancerTarget)
class _Target:
    """A function as a target. The CDK's ``LambdaTarget`` lets load balancers of all accounts invoke it."""

    def __init__(self, function: lambda_.IFunction) -> None:
        self._function = function

    def attach_to_application_target_group(
        self, _target_group: elbv2.IApplicationTargetGroup
    ) -> elbv2.LoadBalancerTargetProps:
        return elbv2.LoadBalancerTargetProps(
            target_type=elbv2.TargetType.LAMBDA, target_json={"id": self._function.function_arn}
        )
