"""What a user may choose about a load balancer in front of a function."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aws_cdk import Duration, Stack, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_s3 as s3

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit, check_strings

_ELB = "Elastic Load Balancing"

# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateRule.html
_PRIORITY = Limit(_ELB, 1, 50_000, whole=True)
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
# Some accounts still have the earlier quota of 6 wildcards; today it is 5, as these pages have it:
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html
# https://docs.aws.amazon.com/cli/latest/reference/elbv2/describe-account-limits.html
_CONDITION_VALUES = Limit(_ELB, 1, 5, "in one rule", whole=True)
_WILDCARDS = Limit(_ELB, 0, 5, "in one rule", whole=True)
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html
_VALUE = Limit(_ELB, 1, 128, "characters", whole=True)
_WHAT_IS_ALLOWED = (
    ("paths", re.compile(r"[/*?].*", re.DOTALL), "no path begins like that; begin it with '/' or '*'."),
    (
        "paths",
        re.compile(r"[\w$/~\"'@:+&*?.-]*", re.ASCII),
        "give letters, digits and _-.$/~\"'@:+& only, with '?' in the place of any other character.",
    ),
    (
        "hosts",
        re.compile(r"[\w.*?-]*\.[A-Za-z]+", re.ASCII),
        "give a host name with a dot and letters after the last one, such as '*.example.com'.",
    ),
    ("methods", re.compile(r"[A-Z_-]{1,40}"), "give methods in capitals, such as 'GET'."),
)
_WILDCARD = re.compile(r"(?<!\\)[*?]")  # a backslash before it makes it a plain character
_WEB_ACL = re.compile(r"arn:[\w-]+:wafv2:[\w-]*:\d{12}:regional/webacl/.+", re.ASCII)
_NETWORK = re.compile(r"[0-9A-Fa-f.:]+/\d{1,3}", re.ASCII)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}")

# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
_INTERVAL = Limit(_ELB, 5, 300, "seconds", whole=True)
_TIMEOUT = Limit(_ELB, 2, 120, "seconds", whole=True)
_THRESHOLD = Limit(_ELB, 2, 10, "checks", whole=True)
_PATH = Limit(_ELB, 1, 1024, "characters", whole=True)
_HTTP_CODES = re.compile(r"[2-4]\d\d([,-][2-4]\d\d)*", re.ASCII)

# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
_IDLE_TIMEOUT = Limit(_ELB, 1, 4_000, "seconds", whole=True)


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
        healthy_http_codes: Statuses that pass, from 200 to 499: ``"200"``, ``"200,204"`` or ``"200-299"``.

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
    healthy_http_codes: str = "200"

    def __post_init__(self) -> None:
        _PATH.check("len(path)", len(self.path))
        _INTERVAL.check("interval", self.interval)
        _TIMEOUT.check("timeout", self.timeout)
        _THRESHOLD.check("healthy_threshold_count", self.healthy_threshold_count)
        _THRESHOLD.check("unhealthy_threshold_count", self.unhealthy_threshold_count)
        for path in _known([self.path]):
            if not path.startswith("/"):
                raise ValueError(f"path={path!r}: begin the path of a health check with '/'.")
        for codes in _known([self.healthy_http_codes]):
            _check_codes(codes)
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
        source_ips: From any of these networks: ``"10.0.0.0/8"``; one address is ``"203.0.113.5/32"``.
        headers: Headers, each with any of its values, with ``*`` and ``?``.
        query_strings: Any of these parameters, with ``*`` and ``?``:
            ``elbv2.QueryStringCondition(key="version", value="2")``.

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
    query_strings: Sequence[elbv2.QueryStringCondition] = ()

    def __post_init__(self) -> None:
        _PRIORITY.check("priority", self.priority)
        given = {
            "paths": self.paths,
            "hosts": self.hosts,
            "methods": self.methods,
            "source_ips": self.source_ips,
            **{f"headers[{name!r}]": values for name, values in self.headers.items()},
        }
        patterns: list[str] = []
        for name, values in given.items():
            check_strings(name, values)
            for value in _known(values):
                _check_value(name, value)
                patterns.append(value)
        for name in self.headers:
            _check_header_name(name)
        for query in self.query_strings:
            for text in _known([one for one in (query.key, query.value) if one is not None]):
                _check_value("query_strings", text)
                patterns.append(text)
        _WILDCARDS.check("wildcards", sum(len(_WILDCARD.findall(pattern)) for pattern in patterns))
        _CONDITION_VALUES.check("condition values", sum(map(len, given.values())) + len(self.query_strings))

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
        if self.query_strings:
            made.append(condition.query_strings(list(self.query_strings)))
        return made


def _known(values: Sequence[str]) -> list[str]:
    """Return the values that are not tokens; none if they are a list token."""
    if Token.is_unresolved(list(values)):
        return []
    return [value for value in values if not Token.is_unresolved(value)]


def _check_codes(codes: str) -> None:
    if not _HTTP_CODES.fullmatch(codes):
        raise ValueError(
            f"healthy_http_codes={codes!r}: {_ELB} allows statuses from 200 to 499; give some, such as "
            "'200', '200,204' or '200-299'."
        )


def _check_value(name: str, value: str) -> None:
    if name == "source_ips":
        _check_network(value)
    _VALUE.check(f"length of {name}={value[:40]!r}", len(value))
    for field_, allowed, remedy in _WHAT_IS_ALLOWED:
        if field_ == name and not allowed.fullmatch(value):
            raise ValueError(f"{name}={value!r}: {remedy}")


def _check_network(network: str) -> None:
    example = "203.0.113.0/24"
    try:
        example = str(ipaddress.ip_network(network, strict=False))
        valid = _NETWORK.fullmatch(network) and ipaddress.ip_network(network)
    except ValueError:
        valid = None
    if not valid:
        raise ValueError(f"source_ips={network!r}: give a network in CIDR notation, such as {example!r}.")


def _check_header_name(name: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(
            f"headers[{name!r}]: a header's name has 1 to 40 characters that HTTP allows in names."
        )
    if name.lower() == "host":
        raise ValueError(f"headers[{name!r}]: {_ELB} has a condition of its own for it; use hosts.")


@check_types
@dataclass(frozen=True, kw_only=True)
class AlbOptions:
    """Options of the load balancer and its target group.

    Args:
        internet_facing: Whether the load balancer has public addresses; if not, it is reached from the VPC
            only.
        ip_address_type: IPv4, or also IPv6 (``elbv2.IpAddressType.DUAL_STACK``). The VPC must have it, too.
            Default: IPv4.
        vpc_subnets: The subnets of the load balancer in a ``vpc`` of yours, in at least two Availability
            Zones. Default: public ones, or private ones if it is internal.
        idle_timeout: How long a client waits for the function, 1 to 4,000 seconds. Default: 60 seconds, or 5
            seconds longer than the function's own timeout, if that is not shorter.
        allow_from: Who may connect. Default: everyone, or, if the load balancer is internal, the IPv4
            addresses of the VPC.
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
    ip_address_type: elbv2.IpAddressType | None = None
    vpc_subnets: ec2.SubnetSelection | None = None
    idle_timeout: Duration | None = None
    allow_from: Sequence[ec2.IPeer] | None = None
    multi_value_headers_enabled: bool = True
    health_check: AlbHealthCheck | None = None
    deletion_protection: bool = False
    ssl_policy: elbv2.SslPolicy = elbv2.SslPolicy.RECOMMENDED_TLS
    access_logs_bucket: s3.IBucket | None = None
    access_logs_prefix: str | None = None
    web_acl_arn: str | None = None

    def __post_init__(self) -> None:
        _IDLE_TIMEOUT.check("idle_timeout", self.idle_timeout)
        if self.web_acl_arn is not None:
            _check_web_acl(self.web_acl_arn)
        bucket = self.access_logs_bucket
        if bucket is None and self.access_logs_prefix is not None:
            raise ValueError("access_logs_prefix without access_logs_bucket: give the bucket as well.")
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
        if bucket is not None and _has_kms_key(bucket):
            raise ValueError(
                "access_logs_bucket is encrypted with a key of KMS: Elastic Load Balancing writes to "
                "buckets with S3-managed keys only (BucketEncryption.S3_MANAGED); choose such a bucket."
            )
        if "AWSLogs" in (self.access_logs_prefix or ""):
            raise ValueError(
                f"access_logs_prefix={self.access_logs_prefix!r}: Elastic Load Balancing adds AWSLogs itself "
                "and refuses it in the prefix; leave it out."
            )


def _has_kms_key(bucket: s3.IBucket) -> bool:
    made = bucket.node.default_child
    encryption = made.bucket_encryption if isinstance(made, s3.CfnBucket) else None
    return bucket.encryption_key is not None or "aws:kms" in str(Stack.of(bucket).resolve(encryption))


def _check_web_acl(arn: str) -> None:
    # https://docs.aws.amazon.com/waf/latest/APIReference/API_AssociateWebACL.html
    if _WEB_ACL.fullmatch(arn) or Token.is_unresolved(arn):
        return
    reason = "give the ARN of a web ACL of WAFv2: arn:aws:wafv2:REGION:ACCOUNT:regional/webacl/NAME/ID"
    if ":global/" in arn:
        reason = "a global web ACL protects CloudFront distributions only; give one with the scope REGIONAL"
    raise ValueError(f"web_acl_arn={arn!r}: {reason}.")
