"""HTTP request → Application Load Balancer → target group → Lambda (→ notes in DynamoDB).

Use it when a function is one of several things behind a load balancer, when requests come from inside of a
VPC, or when there are so many of them that a load balancer's hours cost less than API Gateway's requests. Do
not use it for bodies over 1 MB, for WebSockets, or when nobody calls for hours: a load balancer costs the
same asleep.
"""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.core.permissions import grant_use_of_key
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.web.alb_function.load_balancer import (
    check_access_logs,
    let_in,
    listen,
    make_load_balancer,
    make_vpc,
)
from cdk_lambda_patterns.web.alb_function.options import AlbOptions, AlbRule
from cdk_lambda_patterns.web.alb_function.target import make_target_group

NOTES_INDEX = "by-time"


class AlbFunction(Construct):
    """Puts a function behind an Application Load Balancer, or behind a listener of one that is there.

    It builds a target group with the function as its target and the permission that this takes. Unless there
    is a load balancer already, it builds one as well, with a security group that lets clients in on the ports
    of its listeners and nothing out (a load balancer needs no way to a function), and a VPC for it if none is
    given. With a certificate it listens on 443 with a modern TLS policy and redirects from 80; without one it
    listens on 80, and a warning says what that means. Headers that are no valid HTTP are dropped.

    Without a function of yours it runs a small service that keeps notes in a DynamoDB table.

    Args:
        vpc: Where the load balancer is. Default: a new VPC with subnets for the load balancer and nothing
            else.
        certificate: For HTTPS.
        load_balancer: One that is there; it gets the listeners of this construct. Its security groups are
            left as they are unless ``options.open_to`` says who may connect.
        rule: Which requests to a listener that is there are for the function; then nothing else is built in
            front.
        function: A function, version or alias of yours. Default: the notes service.
        table: For the notes: partition key ``name`` (string), and an index ``by-time`` with partition key
            ``kind`` and sort key ``updated_at`` (strings) that holds ``content_type``, ``tags``,
            ``size_bytes`` and ``etag``.
            Default: a new one.
        options: Of the load balancer and the target group.
        function_options: Settings of the notes service's function: memory, network, logs.
        removal_policy: What happens to table and logs when the stack is deleted. Default: they stay.

    Raises:
        ValueError: Arguments contradict each other, or access logs are wanted without an explicit region.

    Attributes:
        function (IFunction): The target.
        table (ITable | None): The notes; ``None`` with a function of yours.
        target_group (ApplicationTargetGroup): What listeners forward to.
        listener (IApplicationListener): The listener that forwards to it.
        load_balancer (IApplicationLoadBalancer | None): The load balancer; ``None`` with a ``rule``.
        url (str | None): Where the load balancer answers; ``None`` with a ``rule``. With a certificate, use
            the host name that it is for.

    Example::

        certificate = acm.Certificate(self, "Tls", domain_name="notes.example.com")
        service = AlbFunction(self, "Notes", certificate=certificate)
        service.target_group.metrics.target_response_time().create_alarm(
            self, "Slow", threshold=1, evaluation_periods=3
        )

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc | None = None,
        certificate: acm.ICertificate | None = None,
        load_balancer: elbv2.IApplicationLoadBalancer | None = None,
        rule: AlbRule | None = None,
        function: lambda_.IFunction | None = None,
        table: dynamodb.ITable | None = None,
        options: AlbOptions | None = None,
        function_options: FunctionOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = options or AlbOptions()
        _check_front(vpc, certificate, load_balancer, rule, options)
        _check_function(function, table, function_options, options)
        check_access_logs(scope, options)
        super().__init__(scope, id)
        self._options = options
        self._secure = certificate is not None
        self._removal_policy = removal_policy

        self.table = table or (self._make_table() if function is None else None)
        self.function = function or self._make_function(function_options or FunctionOptions())
        self.target_group = make_target_group(self, self.function, options)
        if rule is not None:
            self.load_balancer: elbv2.IApplicationLoadBalancer | None = None
            self.listener = self._add_rule(rule)
        else:
            self.load_balancer = load_balancer or self._make_load_balancer(vpc or make_vpc(self, options))
            let_in(self.load_balancer, options.open_to or (), https=self._secure)
            self.listener = listen(self, self.load_balancer, self.target_group, certificate, options)

    @property
    def url(self) -> str | None:
        """Where the load balancer answers."""
        if self.load_balancer is None:
            return None
        return f"{'https' if self._secure else 'http'}://{self.load_balancer.load_balancer_dns_name}"

    # --- The notes service

    def _make_table(self) -> dynamodb.Table:
        table = make_table(
            self,
            "Table",
            partition_key=text("name"),
            removal_policy=self._removal_policy,
        )
        table.add_global_secondary_index(
            index_name=NOTES_INDEX,
            partition_key=text("kind"),
            sort_key=text("updated_at"),
            projection_type=dynamodb.ProjectionType.INCLUDE,
            non_key_attributes=["content_type", "etag", "size_bytes", "tags"],
        )
        return table

    def _make_function(self, function_options: FunctionOptions) -> HardenedFunction:
        assert self.table is not None
        function = HardenedFunction(
            self,
            "Function",
            code=pattern_source("web", "alb_function"),
            description="Keeps notes, behind a load balancer",
            environment={
                "TABLE_NAME": self.table.table_name,
                "INDEX_NAME": NOTES_INDEX,
                "CORS_ORIGINS": " ".join(self._options.cors_origins),
                "POWERTOOLS_SERVICE_NAME": "notes",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
            options=function_options.with_defaults(
                memory_size=512,
                timeout=Duration.seconds(10),
            ),
            removal_policy=self._removal_policy,
        )
        role, table = function.execution_role, self.table
        # Not by the table's own grant methods: those give the same actions on every index too.
        for actions, resource in (
            (["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"], table.table_arn),
            (["dynamodb:Query"], f"{table.table_arn}/index/{NOTES_INDEX}"),
        ):
            iam.Grant.add_to_principal(grantee=role, actions=actions, resource_arns=[resource])
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
        grant_use_of_key(role, table.encryption_key, "kms:Decrypt", "kms:DescribeKey")
        return function

    # --- What is in front

    def _add_rule(self, rule: AlbRule) -> elbv2.IApplicationListener:
        elbv2.ApplicationListenerRule(
            self,
            "Rule",
            listener=rule.listener,
            priority=rule.priority,
            conditions=rule.conditions(),
            target_groups=[self.target_group],
        )
        return rule.listener

    def _make_load_balancer(self, vpc: ec2.IVpc) -> elbv2.ApplicationLoadBalancer:
        options = self._options
        load_balancer = make_load_balancer(self, vpc, options)
        if options.open_to is None:
            everybody = ec2.Peer.any_ipv4() if options.internet_facing else ec2.Peer.ipv4(vpc.vpc_cidr_block)
            let_in(load_balancer, [everybody], https=self._secure)
        return load_balancer


def _check_front(
    vpc: ec2.IVpc | None,
    certificate: acm.ICertificate | None,
    load_balancer: elbv2.IApplicationLoadBalancer | None,
    rule: AlbRule | None,
    options: AlbOptions,
) -> None:
    given = {"vpc": vpc, "load_balancer": load_balancer, "certificate": certificate}
    of_own = {
        "internet_facing": None if options.internet_facing else False,
        "deletion_protection": options.deletion_protection or None,
        "access_logs_bucket": options.access_logs_bucket,
        "web_acl_arn": options.web_acl_arn,
    }
    if rule is not None:
        useless = {**given, **of_own, "open_to": options.open_to}
        what, owner = "rule", "the listener and its load balancer are there already"
    elif load_balancer is not None:
        useless = {"vpc": vpc, **of_own}
        what, owner = "load_balancer", "it is there already"
    else:
        return
    names = [name for name, value in useless.items() if value is not None]
    if names:
        raise ValueError(f"{what} with {', '.join(names)}: {owner}, so set this where it is made.")


def _check_function(
    function: lambda_.IFunction | None,
    table: dynamodb.ITable | None,
    function_options: FunctionOptions | None,
    options: AlbOptions,
) -> None:
    for_notes = {
        "table": table,
        "function_options": function_options,
        "options.cors_origins": options.cors_origins or None,
    }
    names = [name for name, value in for_notes.items() if value is not None]
    if function is not None and names:
        raise ValueError(
            f"function with {', '.join(names)}: these are of the notes service, which this function takes "
            "the place of; leave one or the other out."
        )
