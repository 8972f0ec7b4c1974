"""What a user may choose about a load balancer in front of a function."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aws_cdk import Duration, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_s3 as s3

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit, check_strings

_ELB = "Elastic Load Balancing"

# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateRule.html
_PRIORITY = Limit(_ELB, 1, 50_000)
_METHOD = re.compile(r"[A-Z_-]{1,40}")

# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
_CONDITION_VALUES = Limit(_ELB, 1, 5, "in one rule")

# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
_INTERVAL = Limit(_ELB, 5, 300, "seconds")
_TIMEOUT = Limit(_ELB, 2, 120, "seconds")
_THRESHOLD = Limit(_ELB, 2, 10, "checks")
_PATH = Limit(_ELB, 1, 1024, "characters")


@check_types
@dataclass(frozen=True, kw_only=True)
class AlbHealthCheck:
    """How the load balancer checks that the function works. Each check is an invocation that is charged.

    The default interval makes 74,000 invocations a month from each Availability Zone of the load balancer.
    Health checks are useful for DNS failover with Route 53. A function that fails them still gets requests,
    because it is the only target.

    Args:
        path: The path of the ``GET`` requests.
        interval: The time between two checks, 5 to 300 seconds.
        timeout: How long the function may take, 2 to 120 seconds, and less than the interval.
        healthy_threshold_count: Successful checks in a row that make the function healthy, 2 to 10.
        unhealthy_threshold_count: Failed checks in a row that make it unhealthy, 2 to 10.

    Raises:
        ValueError: Elastic Load Balancing does not allow a value.

    Example::

        AlbHealthCheck(path="/health", interval=Duration.minutes(1))
    """

    path: str = "/health"
    interval: Duration = field(default_factory=lambda: Duration.seconds(35))
    timeout: Duration = field(default_factory=lambda: Duration.seconds(30))
    healthy_threshold_count: int = 5
    unhealthy_threshold_count: int = 2

    def __post_init__(self) -> None:
        _PATH.check("len(path)", len(self.path))
        _INTERVAL.check("interval", self.interval)
        _TIMEOUT.check("timeout", self.timeout)
        _THRESHOLD.check("healthy_threshold_count", self.healthy_threshold_count)
        _THRESHOLD.check("unhealthy_threshold_count", self.unhealthy_threshold_count)
        known = not self.interval.is_unresolved() and not self.timeout.is_unresolved()
        if known and self.timeout.to_seconds() >= self.interval.to_seconds():
            raise ValueError(
                f"timeout={self.timeout.to_seconds()} with interval={self.interval.to_seconds()}: a health "
                "check must time out before the next one begins; make the interval longer than the timeout."
            )


@check_types
@dataclass(frozen=True, kw_only=True)
class AlbRule:
    """Which requests an existing listener forwards to the function: those that meet all conditions.

    Args:
        listener: The listener: from this stack, from another stack, or imported.
        priority: 1 (evaluated first) to 50,000; unique for each listener.
        paths: Any of these, with ``*`` and ``?``: ``"/notes*"``.
        hosts: Any of these, with ``*`` and ``?``: ``"notes.example.com"``.
        methods: Any of these: ``"GET"``.
        source_ips: From any of these networks: ``"10.0.0.0/8"``.
        headers: Headers, each with any of its values, with ``*`` and ``?``.

    Raises:
        ValueError: There is no condition, or Elastic Load Balancing does not allow a value.

    Example::

        AlbRule(listener=listener, priority=10, paths=("/notes*",), methods=("GET", "HEAD"))
    """

    listener: elbv2.IApplicationListener
    priority: int
    paths: Sequence[str] = ()
    hosts: Sequence[str] = ()
    methods: Sequence[str] = ()
    source_ips: Sequence[str] = ()
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _PRIORITY.check("priority", self.priority)
        conditions = {
            "paths": self.paths,
            "hosts": self.hosts,
            "methods": self.methods,
            "source_ips": self.source_ips,
            **{f"headers[{name!r}]": values for name, values in self.headers.items()},
        }
        for name, values in conditions.items():
            check_strings(name, values)
        _CONDITION_VALUES.check("condition values", sum(map(len, conditions.values())))
        for path in _known(self.paths):
            if not path.startswith(("/", "*")):
                raise ValueError(f"paths={path!r}: no path begins like that; begin it with '/' or '*'.")
        for method in _known(self.methods):
            if not _METHOD.fullmatch(method):
                raise ValueError(f"methods={method!r}: give methods in capitals, such as 'GET'.")
        for network in _known(self.source_ips):
            _check_network(network)

    def conditions(self) -> list[elbv2.ListenerCondition]:
        """Return the conditions of the listener rule."""
        condition = elbv2.ListenerCondition
        made = [condition.http_header(name, list(values)) for name, values in self.headers.items()]
        if self.paths:
            made.append(condition.path_patterns(list(self.paths)))
        if self.hosts:
            made.append(condition.host_headers(list(self.hosts)))
        if self.methods:
            made.append(condition.http_request_methods(list(self.methods)))
        if self.source_ips:
            made.append(condition.source_ips(list(self.source_ips)))
        return made


def _known(values: Sequence[str]) -> list[str]:
    """Return the values that are not tokens; none if they are a list token."""
    if Token.is_unresolved(list(values)):
        return []
    return [value for value in values if not Token.is_unresolved(value)]


def _check_network(network: str) -> None:
    try:
        ipaddress.ip_network(network)
    except ValueError:
        raise ValueError(
            f"source_ips={network!r}: give a network in CIDR notation, such as '203.0.113.0/24'."
        ) from None


@check_types
@dataclass(frozen=True, kw_only=True)
class AlbOptions:
    """Options of the load balancer and its target group.

    Args:
        internet_facing: Whether the load balancer has public addresses; if not, it is reached from the VPC
            only.
        allow_from: Who may connect. Default: everyone, or, if the load balancer is internal, the addresses of
            the VPC.
        multi_value_headers_enabled: Whether headers and query parameters reach the function as lists.
            Without, the function gets only the last value of what a client sent twice. A function that does
            not expect lists needs ``False``.
        health_check: Default: none, which is also Elastic Load Balancing's default for functions.
        deletion_protection: Whether the load balancer is protected from deletion.
        ssl_policy: Which TLS versions and ciphers clients may use. Default: TLS 1.2 and 1.3, as recommended
            by AWS.
        access_logs_bucket: Where access logs are stored, encrypted with S3-managed keys. Needs a stack with
            an explicit region, because each region has its own account that writes access logs.
        access_logs_prefix: Prefix of the keys of access logs.
        web_acl_arn: A regional web ACL of AWS WAF that inspects each request.

    Raises:
        ValueError: Values contradict each other, or are not allowed.

    Example::

        AlbOptions(internet_facing=False, health_check=AlbHealthCheck(path="/health"))
    """

    internet_facing: bool = True
    allow_from: Sequence[ec2.IPeer] | None = None
    multi_value_headers_enabled: bool = True
    health_check: AlbHealthCheck | None = None
    deletion_protection: bool = False
    ssl_policy: elbv2.SslPolicy = elbv2.SslPolicy.RECOMMENDED_TLS
    access_logs_bucket: s3.IBucket | None = None
    access_logs_prefix: str | None = None
    web_acl_arn: str | None = None

    def __post_init__(self) -> None:
        bucket = self.access_logs_bucket
        if bucket is None and self.access_logs_prefix is not None:
            raise ValueError("access_logs_prefix without access_logs_bucket: give the bucket as well.")
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
        if bucket is not None and bucket.encryption_key is not None:
            raise ValueError(
                "access_logs_bucket is encrypted with a customer key: Elastic Load Balancing writes to "
                "buckets with S3-managed keys only (BucketEncryption.S3_MANAGED); choose such a bucket."
            )
