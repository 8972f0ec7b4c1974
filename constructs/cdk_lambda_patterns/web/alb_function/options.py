"""What a user may choose about a load balancer in front of a function."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aws_cdk import Duration, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_s3 as s3

from cdk_lambda_patterns.core.limits import check_duration, check_range

# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateRule.html
_PRIORITY = (1, 50_000)
_METHOD = re.compile(r"[A-Z_-]{1,40}")

# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
_CONDITION_VALUES = (1, 5)

# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
_INTERVAL_S = (5, 300)
_TIMEOUT_S = (2, 120)
_THRESHOLD = (2, 10)
_PATH_CHARACTERS = (1, 1024)

_ORIGIN = re.compile(r"\*|https?://[^/\s]+")


@dataclass(frozen=True, kw_only=True)
class AlbHealthCheck:
    """How a load balancer asks the function whether it is well. Each check is an invocation, and is charged.

    At the default interval that is 74,000 invocations a month from each Availability Zone of the load
    balancer. It is of use for DNS failover with Route 53; a function that fails its checks gets requests all
    the same, because it is the only target.

    Args:
        path: What is asked for, with ``GET``.
        interval: From one check to the next, 5 to 300 seconds.
        timeout: How long an answer may take, 2 to 120 seconds, and less than the interval.
        healthy_threshold: Good answers in a row that make the function healthy again, 2 to 10.
        unhealthy_threshold: Bad answers in a row that make it unhealthy, 2 to 10.

    Raises:
        ValueError: A value is outside of what Elastic Load Balancing allows.

    Example::

        AlbHealthCheck(path="/health", interval=Duration.minutes(1))
    """

    path: str = "/health"
    interval: Duration = field(default_factory=lambda: Duration.seconds(35))
    timeout: Duration = field(default_factory=lambda: Duration.seconds(30))
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2

    def __post_init__(self) -> None:
        allows = "Elastic Load Balancing allows"
        check_range("len(path)", len(self.path), *_PATH_CHARACTERS, unit="characters", allows=allows)
        check_duration("interval", self.interval, *_INTERVAL_S, allows=allows)
        check_duration("timeout", self.timeout, *_TIMEOUT_S, allows=allows)
        check_range("healthy_threshold", self.healthy_threshold, *_THRESHOLD, unit="checks", allows=allows)
        check_range(
            "unhealthy_threshold", self.unhealthy_threshold, *_THRESHOLD, unit="checks", allows=allows
        )
        known = not self.interval.is_unresolved() and not self.timeout.is_unresolved()
        if known and self.timeout.to_seconds() >= self.interval.to_seconds():
            raise ValueError(
                f"timeout={self.timeout.to_seconds()} with interval={self.interval.to_seconds()}: a health "
                "check must time out before the next one begins; make the interval longer than the timeout."
            )


@dataclass(frozen=True, kw_only=True)
class AlbRule:
    """Which requests to a listener that is there are for the function: those that meet every condition.

    Args:
        listener: The listener: of this stack, of another one, or imported.
        priority: 1 (looked at first) to 50,000; each number once a listener.
        paths: Any of these, with ``*`` and ``?``: ``"/notes*"``.
        hosts: Any of these, with ``*`` and ``?``: ``"notes.example.com"``.
        methods: Any of these: ``"GET"``.
        source_ips: From any of these networks: ``"10.0.0.0/8"``.
        headers: Headers, each with any of its values, with ``*`` and ``?``.

    Raises:
        ValueError: There is no condition, or more or others than Elastic Load Balancing allows.

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
        allows = "Elastic Load Balancing allows"
        check_range("priority", self.priority, *_PRIORITY, unit="", allows=allows)
        values = [*self.paths, *self.hosts, *self.methods, *self.source_ips]
        values += [value for given in self.headers.values() for value in given]
        check_range("condition values", len(values), *_CONDITION_VALUES, unit="in one rule", allows=allows)
        for path in self.paths:
            if not path.startswith(("/", "*")) and not Token.is_unresolved(path):
                raise ValueError(f"paths={path!r}: no path begins like that; begin it with '/' or '*'.")
        for method in self.methods:
            if not _METHOD.fullmatch(method):
                raise ValueError(f"methods={method!r}: give methods in capitals, such as 'GET'.")
        for network in self.source_ips:
            _check_network(network)

    def conditions(self) -> list[elbv2.ListenerCondition]:
        """Return the conditions as the CDK has them."""
        condition = elbv2.ListenerCondition
        made = [condition.http_header(name, list(values)) for name, values in self.headers.items()]
        for values, make in (
            (self.paths, condition.path_patterns),
            (self.hosts, condition.host_headers),
            (self.methods, condition.http_request_methods),
            (self.source_ips, condition.source_ips),
        ):
            if values:
                made.append(make(list(values)))
        return made


def _check_network(network: str) -> None:
    try:
        if not Token.is_unresolved(network):
            ipaddress.ip_network(network)
    except ValueError:
        raise ValueError(
            f"source_ips={network!r}: give a network in CIDR notation, such as '203.0.113.0/24'."
        ) from None


@dataclass(frozen=True, kw_only=True)
class AlbOptions:
    """How the load balancer and its target group are set up.

    Args:
        internet_facing: Whether it has public addresses; if not, it is reached from inside the VPC only.
        open_to: Who may connect. Default: everybody, or, if it is internal, the addresses of the VPC.
        multi_value_headers: Whether headers and query parameters reach the function as lists. Without, it
            sees the last one only of what a client sent twice. A function that does not expect lists needs
            ``False``.
        health_check: Default: none, as Elastic Load Balancing has it for functions.
        deletion_protection: Whether the load balancer must be unprotected before it can be deleted.
        ssl_policy: Which TLS versions and ciphers clients may use. Default: TLS 1.2 and 1.3, those that AWS
            recommends.
        access_logs_bucket: Where access logs go; encrypted with S3-managed keys. Needs a stack with an
            explicit region, because the account that writes them differs from region to region.
        access_logs_prefix: What the keys of access logs start with.
        web_acl_arn: A regional web ACL of AWS WAF that looks at each request first.
        cors_origins: Origins whose pages may use the notes service of this library; ``("*",)`` for any.

    Raises:
        ValueError: Values contradict each other, or are not allowed.

    Example::

        AlbOptions(internet_facing=False, health_check=AlbHealthCheck(path="/health"))
    """

    internet_facing: bool = True
    open_to: Sequence[ec2.IPeer] | None = None
    multi_value_headers: bool = True
    health_check: AlbHealthCheck | None = None
    deletion_protection: bool = False
    ssl_policy: elbv2.SslPolicy = elbv2.SslPolicy.RECOMMENDED_TLS
    access_logs_bucket: s3.IBucket | None = None
    access_logs_prefix: str | None = None
    web_acl_arn: str | None = None
    cors_origins: Sequence[str] = ()

    def __post_init__(self) -> None:
        for origin in self.cors_origins:
            if not _ORIGIN.fullmatch(origin) and not Token.is_unresolved(origin):
                raise ValueError(
                    f"cors_origins={origin!r}: give origins such as 'https://example.com', without a path, "
                    "or '*'."
                )
        bucket = self.access_logs_bucket
        if bucket is None and self.access_logs_prefix is not None:
            raise ValueError("access_logs_prefix without access_logs_bucket: give the bucket as well.")
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
        if bucket is not None and bucket.encryption_key is not None:
            raise ValueError(
                "access_logs_bucket is encrypted with a customer key: Elastic Load Balancing writes to "
                "buckets with S3-managed keys only (BucketEncryption.S3_MANAGED); choose such a bucket."
            )
