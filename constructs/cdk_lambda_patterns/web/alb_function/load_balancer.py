"""The VPC, the load balancer in it, and its listeners."""

from collections.abc import Sequence

from aws_cdk import Annotations, CfnResource, Duration, Stack, Token
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_lambda_patterns.core.network import check_dual_stack
from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.core.sharing import claim, identity
from cdk_lambda_patterns.web.alb_function.options import AlbOptions

_HTTP, _HTTPS = 80, 443
_DEFAULT_IDLE_SECONDS = 60


def make_vpc(scope: Construct, options: AlbOptions) -> ec2.Vpc:
    """Make a VPC with subnets for the load balancer only, without a NAT gateway."""
    internet_facing = options.internet_facing
    vpc = ec2.Vpc(
        scope,
        "Vpc",
        max_azs=2,
        nat_gateways=0,
        ip_protocol=ec2.IpProtocol.DUAL_STACK if _has_ipv6(options) else None,
        subnet_configuration=[
            ec2.SubnetConfiguration(
                name="LoadBalancer",
                subnet_type=ec2.SubnetType.PUBLIC if internet_facing else ec2.SubnetType.PRIVATE_ISOLATED,
                cidr_mask=24,
                map_public_ip_on_launch=False if internet_facing else None,
            )
        ],
        # The default group is unused, and closing it requires a custom resource with a role of its own.
        restrict_default_security_group=False,
    )
    acknowledge(
        vpc,
        {
            "AwsSolutions-VPC7": "Only the load balancer is in it, whose access logs say more than flow logs "
            "would; pass a VPC of your own to have flow logs."
        },
    )
    return vpc


def make_load_balancer(
    scope: Construct,
    vpc: ec2.IVpc,
    options: AlbOptions,
    certificate: acm.ICertificate | None,
    idle_timeout: Duration | None,
) -> elbv2.ApplicationLoadBalancer:
    """Make a load balancer that clients may connect to, and that itself connects to nothing."""
    group = ec2.SecurityGroup(
        scope,
        "SecurityGroup",
        vpc=vpc,
        description="Lets clients reach the load balancer, which itself connects to nothing",
        allow_all_outbound=False,
    )
    load_balancer = elbv2.ApplicationLoadBalancer(
        scope,
        "LoadBalancer",
        vpc=vpc,
        internet_facing=options.internet_facing,
        security_group=group,
        drop_invalid_header_fields=True,
        deletion_protection=options.deletion_protection,
        ip_address_type=options.ip_address_type,
        vpc_subnets=options.vpc_subnets,
        idle_timeout=idle_timeout,
    )
    everyone = [ec2.Peer.any_ipv4() if options.internet_facing else ec2.Peer.ipv4(vpc.vpc_cidr_block)]
    if options.internet_facing and _has_ipv6(options):
        everyone.append(ec2.Peer.any_ipv6())
    allow_from(load_balancer, everyone if options.allow_from is None else options.allow_from, certificate)
    if options.internet_facing:
        acknowledge(group, {"AwsSolutions-EC23": "An internet-facing load balancer is open to the internet."})
    _log_access(load_balancer, options)
    if options.web_acl_arn is not None:
        # Without aws_cdk.aws_wafv2: importing it takes a third of a second, for this one resource.
        CfnResource(
            scope,
            "WebAcl",
            type="AWS::WAFv2::WebACLAssociation",
            properties={"ResourceArn": load_balancer.load_balancer_arn, "WebACLArn": options.web_acl_arn},
        )
    return load_balancer


def _has_ipv6(options: AlbOptions) -> bool:
    return options.ip_address_type not in (None, elbv2.IpAddressType.IPV4)


def idle_timeout_for(function: lambda_.IFunction, options: AlbOptions) -> Duration | None:
    """Return an idle timeout in which the function can answer; ``None`` for the default.

    The load balancer answers 504 when it expires, although the function still runs.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html

    Raises:
        ValueError: The idle timeout that was asked for is shorter than the function's timeout.
    """
    idle, seconds = options.idle_timeout, _timeout_of(function)
    if idle is None:
        return Duration.seconds(seconds + 5) if seconds >= _DEFAULT_IDLE_SECONDS else None
    if not idle.is_unresolved() and idle.to_seconds() < seconds:
        raise ValueError(
            f"idle_timeout={idle.to_seconds():g} with a function that may run for {seconds:g} seconds: "
            "clients would get 504 while it still runs; give a longer idle_timeout, or the function a "
            "shorter timeout."
        )
    return idle


def warn_of_idle_timeout(scope: Construct, function: lambda_.IFunction) -> None:
    """Warn if a function may run for longer than an existing load balancer waits by default."""
    seconds = _timeout_of(function)
    if seconds >= _DEFAULT_IDLE_SECONDS:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:alb-idle-timeout",
            f"The function may run for {seconds:g} seconds, and a load balancer waits "
            f"{_DEFAULT_IDLE_SECONDS} by default; then clients get 504. Set idle_timeout where the load "
            "balancer is made, and acknowledge this warning.",
        )


def _timeout_of(function: lambda_.IFunction) -> float:
    """The timeout of a function, or of the one behind an alias or version; 0 if it is not known here."""
    timeout = getattr(getattr(function, "lambda_", function), "timeout", None)
    return timeout.to_seconds() if isinstance(timeout, Duration) and not timeout.is_unresolved() else 0


def check_subnets(vpc: ec2.IVpc, options: AlbOptions) -> None:
    """Check that the load balancer has subnets in two Availability Zones, one in each, and their addresses.

    Local Zones and Outposts, where one would do, have no functions as targets.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html

    Raises:
        ValueError: It has not.
    """
    chosen = options.vpc_subnets or ec2.SubnetSelection(
        subnet_type=ec2.SubnetType.PUBLIC if options.internet_facing else None
    )
    try:
        selected = vpc.select_subnets(
            subnets=chosen.subnets,
            subnet_type=chosen.subnet_type,
            subnet_group_name=chosen.subnet_group_name,
            subnet_filters=chosen.subnet_filters,
            availability_zones=chosen.availability_zones,
            one_per_az=chosen.one_per_az,
        )
    except RuntimeError:  # jsii's: subnets were imported without their zones, or there are none
        return
    if _has_ipv6(options):
        check_dual_stack("options.ip_address_type", selected.subnets)
    zones = selected.availability_zones
    if Token.is_unresolved(zones) or Token.is_unresolved(selected.subnet_ids):
        return
    if len(zones) < 2 or len(set(zones)) < len(zones):
        problem = "only one subnet" if len(zones) < 2 else "two subnets in one Availability Zone"
        raise ValueError(
            f"vpc={vpc.node.path}: the load balancer would have {problem}, and needs one in each of at least "
            "two Availability Zones; choose them by options.vpc_subnets, such as "
            "SubnetSelection(one_per_az=True)."
        )


def check_access_logs(scope: Construct, options: AlbOptions) -> None:
    """Check that a load balancer in this scope can write access logs, if they are asked for.

    Raises:
        ValueError: The stack has no explicit region.
    """
    stack = Stack.of(scope)
    # Each region has its own account that writes access logs, and the bucket policy names it.
    if options.access_logs_bucket is not None and Token.is_unresolved(stack.region):
        raise ValueError(
            f"access_logs_bucket in stack {stack.node.path!r} without an explicit region: access logs need "
            "one; give the stack env=Environment(account=..., region=...), in this repository by "
            "'-c account=... -c region=...'."
        )


def _log_access(load_balancer: elbv2.ApplicationLoadBalancer, options: AlbOptions) -> None:
    bucket = options.access_logs_bucket
    if bucket is None:
        reason = "The user chooses whether to have access logs: options.access_logs_bucket."
        acknowledge(load_balancer, {"AwsSolutions-ELB2": reason})
        return
    load_balancer.log_access_logs(bucket, options.access_logs_prefix)
    if not isinstance(bucket, s3.Bucket):
        Annotations.of(load_balancer).add_warning_v2(
            "cdk-lambda-patterns:access-logs-bucket-policy",
            "The bucket for access logs is imported, so its policy is not changed: it must let Elastic Load "
            "Balancing write. https://docs.aws.amazon.com/elasticloadbalancing/latest/application/"
            "enable-access-logging.html",
        )


def claim_listeners(scope: Construct, load_balancer: elbv2.IApplicationLoadBalancer) -> None:
    """Refuse listeners that another construct of the app adds to the same load balancer.

    Port 80 is enough: `add_listener` always has it. A port has one listener:
    https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateListener.html

    Raises:
        ValueError: Another construct adds them.
    """
    claim(
        scope,
        "listener",
        [identity(load_balancer, "load_balancer_arn"), _HTTP],
        f"load_balancer={load_balancer.node.path}: one listener takes port {_HTTP}, to which a rule "
        "(AlbRule(listener=...)) adds another function, and",
    )


def add_listener(
    scope: Construct,
    load_balancer: elbv2.IApplicationLoadBalancer,
    target_group: elbv2.IApplicationTargetGroup,
    certificate: acm.ICertificate | None,
    options: AlbOptions,
) -> elbv2.ApplicationListener:
    """Add the listeners to a load balancer, and return the one that forwards to the target group."""
    forward = elbv2.ListenerAction.forward([target_group])
    if certificate is None:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:alb-without-tls",
            "Without a certificate the load balancer speaks HTTP only: traffic, including cookies, can be "
            "read and changed in transit. Give a certificate for HTTPS.",
        )
        return elbv2.ApplicationListener(
            scope,
            "Listener",
            load_balancer=load_balancer,
            port=_HTTP,
            protocol=elbv2.ApplicationProtocol.HTTP,
            default_action=forward,
            open=False,
        )
    elbv2.ApplicationListener(
        scope,
        "Redirect",
        load_balancer=load_balancer,
        port=_HTTP,
        protocol=elbv2.ApplicationProtocol.HTTP,
        default_action=elbv2.ListenerAction.redirect(protocol="HTTPS", port=str(_HTTPS), permanent=True),
        open=False,
    )
    return elbv2.ApplicationListener(
        scope,
        "Listener",
        load_balancer=load_balancer,
        port=_HTTPS,
        protocol=elbv2.ApplicationProtocol.HTTPS,
        certificates=[elbv2.ListenerCertificate.from_certificate_manager(certificate)],
        ssl_policy=options.ssl_policy,
        default_action=forward,
        open=False,
    )


def allow_from(
    load_balancer: elbv2.IApplicationLoadBalancer,
    peers: Sequence[ec2.IPeer],
    certificate: acm.ICertificate | None,
) -> None:
    """Let these clients connect to the ports that `add_listener` makes the load balancer listen on."""
    for port in (_HTTP,) if certificate is None else (_HTTP, _HTTPS):
        for peer in peers:
            load_balancer.connections.allow_from(peer, ec2.Port.tcp(port), "Clients of the load balancer")
