"""HTTP request → Application Load Balancer → target group → Lambda.

Use it when a function is one of several targets behind a load balancer, when requests come from inside a VPC,
or when there are so many requests that a load balancer's hours cost less than API Gateway's requests. Do not
use it for bodies over 1 MB, for WebSockets, or when hours pass without a request: an idle load balancer costs
the same.
"""

import jsii
from aws_cdk import Token
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.aliases import check_no_latest
from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.core.sharing import claim, identity
from cdk_lambda_patterns.web.alb_function.load_balancer import (
    add_listener,
    allow_from,
    check_access_logs,
    check_subnets,
    claim_listeners,
    idle_timeout_for,
    make_load_balancer,
    make_vpc,
    warn_of_idle_timeout,
)
from cdk_lambda_patterns.web.alb_function.options import AlbOptions, AlbRule
from cdk_lambda_patterns.web.alb_function.target import make_target_group


@check_types
@jsii.implements(ec2.IConnectable)
class AlbFunction(Construct):
    """A function behind an Application Load Balancer, or behind an existing listener.

    Makes a target group with the function as its target, and the permission that this requires. Unless given
    a load balancer or a rule, it also makes a load balancer, with a security group that admits clients on the
    ports of the listeners and allows no outbound traffic (a load balancer needs no network path to a
    function), and a VPC if none is given. With a certificate it listens on port 443 with a modern TLS policy
    and redirects port 80 to it; without one it listens on port 80 and adds a warning. Headers that are not
    valid HTTP are dropped.

    Args:
        function: The function, or a version or alias of it.
        vpc: The VPC of the load balancer. Default: a new one with subnets for the load balancer only.
        certificate: The certificate for HTTPS.
        load_balancer: An existing load balancer, which gets the listeners. Its security groups are not
            changed unless ``options.allow_from`` is given.
        rule: Which requests an existing listener forwards to the function. No load balancer and no listener
            is made.
        options: Options of the load balancer and the target group.

    Raises:
        ValueError: Arguments contradict each other, another construct makes the same listener or rule, what
            is given is in another Region or account, the subnets are not in two Availability Zones, access
            logs are asked for without an explicit region, or the idle timeout is shorter than the function's
            timeout.

    Attributes:
        function (IFunction): The target.
        target_group (ApplicationTargetGroup): The target group that listeners forward to.
        listener (IApplicationListener): The listener that forwards to it.
        load_balancer (IApplicationLoadBalancer | None): The load balancer; ``None`` with a ``rule``.
        connections (Connections): The security groups of the load balancer, with the listener's port as the
            default port.

    Example::

        function = HardenedFunction(self, "Function", code="worker")
        certificate = acm.Certificate(self, "Tls", domain_name="shop.example.com")
        shop = AlbFunction(self, "Shop", function=function, certificate=certificate)
        shop.target_group.metrics.target_response_time().create_alarm(
            self, "Slow", threshold=1, evaluation_periods=3
        )

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: lambda_.IFunction,
        vpc: ec2.IVpc | None = None,
        certificate: acm.ICertificate | None = None,
        load_balancer: elbv2.IApplicationLoadBalancer | None = None,
        rule: AlbRule | None = None,
        options: AlbOptions | None = None,
    ) -> None:
        options = options or AlbOptions()
        check_no_latest(function)
        _check_front(vpc, certificate, load_balancer, rule, options)
        _check_places(scope, function, vpc, certificate, load_balancer, rule, options)
        check_access_logs(scope, options)
        if vpc is not None:
            check_subnets(vpc, options)
        idle_timeout = idle_timeout_for(function, options)
        super().__init__(scope, id)

        self.function = function
        self.target_group = make_target_group(self, function, options)
        self.load_balancer: elbv2.IApplicationLoadBalancer | None = None
        self.listener: elbv2.IApplicationListener
        self._scheme = "http" if certificate is None else "https"
        if rule is not None or load_balancer is not None:
            warn_of_idle_timeout(self, function)
        if rule is not None:
            self._add_rule(rule)
            self.listener = rule.listener
            return
        if load_balancer is None:
            vpc = vpc or make_vpc(self, options)
            load_balancer = make_load_balancer(self, vpc, options, certificate, idle_timeout)
        elif options.allow_from is not None:
            allow_from(load_balancer, options.allow_from, certificate)
        claim_listeners(self, load_balancer)
        self.load_balancer = load_balancer
        self.listener = add_listener(self, load_balancer, self.target_group, certificate, options)

    @property
    def connections(self) -> ec2.Connections:
        """The security groups of the load balancer, with the listener's port as the default port."""
        return self.listener.connections

    @property
    def url(self) -> str:
        """The URL of the load balancer. With a certificate, use the host name of the certificate instead.

        Raises:
            ValueError: There is a ``rule``, so the load balancer is not known.
        """
        if self.load_balancer is None:
            raise ValueError(
                "url of an AlbFunction with a rule: the load balancer of the listener is not known here; use "
                "its own name, load_balancer_dns_name."
            )
        return f"{self._scheme}://{self.load_balancer.load_balancer_dns_name}"

    def _add_rule(self, rule: AlbRule) -> None:
        claim(
            self,
            "rule",
            [identity(rule.listener, "listener_arn"), rule.priority],
            f"priority={rule.priority}: each rule of {rule.listener.node.path} has its own, and",
        )
        elbv2.ApplicationListenerRule(
            self,
            "Rule",
            listener=rule.listener,
            priority=rule.priority,
            conditions=rule.conditions(),
            target_groups=[self.target_group],
        )


def _check_front(
    vpc: ec2.IVpc | None,
    certificate: acm.ICertificate | None,
    load_balancer: elbv2.IApplicationLoadBalancer | None,
    rule: AlbRule | None,
    options: AlbOptions,
) -> None:
    given = {"vpc": vpc, "load_balancer": load_balancer, "certificate": certificate}
    of_new_load_balancer = {
        "internet_facing": None if options.internet_facing else False,
        "ip_address_type": options.ip_address_type,
        "vpc_subnets": options.vpc_subnets,
        "idle_timeout": options.idle_timeout,
        "deletion_protection": options.deletion_protection or None,
        "access_logs_bucket": options.access_logs_bucket,
        "web_acl_arn": options.web_acl_arn,
    }
    if rule is not None:
        useless = {**given, **of_new_load_balancer, "allow_from": options.allow_from}
        what, reason = "rule", "the listener and its load balancer already exist"
    elif load_balancer is not None:
        useless = {"vpc": vpc, **of_new_load_balancer}
        what, reason = "load_balancer", "it already exists"
    elif vpc is None:
        useless = {"vpc_subnets": options.vpc_subnets}
        what, reason = "no vpc", "the new one has subnets for the load balancer only"
    else:
        return
    names = [name for name, value in useless.items() if value is not None]
    if names:
        raise ValueError(f"{what} with {', '.join(names)}: {reason}; configure this where it is made.")


def _check_places(
    scope: Construct,
    function: lambda_.IFunction,
    vpc: ec2.IVpc | None,
    certificate: acm.ICertificate | None,
    load_balancer: elbv2.IApplicationLoadBalancer | None,
    rule: AlbRule | None,
    options: AlbOptions,
) -> None:
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    check_region(
        scope,
        "Function and target group must be in one account and Region",
        {"function": function},
        in_account=True,
    )
    arn = certificate.certificate_arn if certificate is not None else ""
    if arn and not Token.is_unresolved(arn) and arn.split(":")[2:3] not in (["acm"], ["iam"]):
        raise ValueError(f"certificate={arn}: give a certificate of ACM or IAM by its ARN.")
    # https://docs.aws.amazon.com/acm/latest/userguide/acm-regions.html
    # https://docs.aws.amazon.com/waf/latest/developerguide/how-aws-waf-works-resources.html
    check_region(
        scope,
        "A load balancer, its certificates and its web ACL must be in one account and Region",
        {
            "certificate": certificate,
            "load_balancer": load_balancer,
            "rule.listener": rule.listener if rule else None,
            "options.web_acl_arn": options.web_acl_arn,
        },
        in_account=True,
    )
    check_region(scope, "A load balancer is in a VPC of its own Region", {"vpc": vpc})
    # The account may be another one:
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
    check_region(
        scope,
        "Elastic Load Balancing writes access logs to buckets of the load balancer's Region only",
        {"options.access_logs_bucket": options.access_logs_bucket},
    )
