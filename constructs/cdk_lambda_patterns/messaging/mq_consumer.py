"""Amazon MQ (RabbitMQ or ActiveMQ) → Lambda, with credentials from Secrets Manager and a private broker.

Use it where programs speak AMQP, JMS, STOMP or MQTT already, or need a broker's routing. Do not use it for a
new queue between your own programs: ``SqsConsumer`` needs no network and no password, fails single messages
instead of whole batches, and costs nothing while idle.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, get_args

from aws_cdk import Aws, Duration, Fn, RemovalPolicy, Token
from aws_cdk import aws_amazonmq as amazonmq
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import (
    BATCH_SIZE,
    MAX_BATCHING_WINDOW,
    Code,
    check_function,
    check_place_of_mapping,
    make_reader,
    timeout_of,
)
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER
from cdk_lambda_patterns.core.limits import Limit, check_choice
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.core.permissions import (
    Grantee,
    acknowledge,
    acknowledge_wildcard,
    grant_use_of_key,
)
from cdk_lambda_patterns.core.regions import check_region

Engine = Literal["RABBITMQ", "ACTIVEMQ"]

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
_QUEUE = Limit("Lambda", 1, 1_000, "characters")
_VIRTUAL_HOST = Limit("Lambda", 1, 200, "characters")
_HOST_LETTERS = re.compile(r"[ a-zA-Z0-9/*:_+=.@-]*")  # API_SourceAccessConfiguration: URI
_BROKER_ARN = re.compile(r"arn:[^:]+:mq:[a-z0-9-]+:\d{12}:broker:[^:]+:b-[^:]+")
# https://docs.aws.amazon.com/lambda/latest/dg/process-messages-with-lambda.html
_LONGEST_TIMEOUT = Duration.minutes(14)
_ON_ALL = (
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"),
    *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"),
)
# What Lambda's pollers connect to: AMQP 0-9-1, and OpenWire.
_PORT = {"RABBITMQ": 5671, "ACTIVEMQ": 61617}
_VERSION = {"RABBITMQ": "4.2", "ACTIVEMQ": "5.18"}
_INSTANCE_TYPE = {"RABBITMQ": "mq.m7g.large", "ACTIVEMQ": "mq.m5.large"}
# Versions of new brokers, with what they run on.
# https://docs.aws.amazon.com/amazon-mq/latest/developer-guide/rabbitmq-version-management.html
# https://docs.aws.amazon.com/amazon-mq/latest/developer-guide/activemq-version-management.html
_RUN_ON: dict[str, dict[str, tuple[str, ...]]] = {
    "RABBITMQ": {r"4\.([2-9]|\d\d)": ("mq.m7g.",), r"3\.13": ("mq.m7g.", "mq.m5.", "mq.t3.micro")},
    "ACTIVEMQ": {r"5\.(1[89]|[2-9]\d)": ("mq.m5.", "mq.t3.micro")},
}
_MULTI_AZ = {"RABBITMQ": "CLUSTER_MULTI_AZ", "ACTIVEMQ": "ACTIVE_STANDBY_MULTI_AZ"}
_SUBNETS = {"CLUSTER_MULTI_AZ": None, "ACTIVE_STANDBY_MULTI_AZ": 2, "SINGLE_INSTANCE": 1}
_LEAST_ZONES = 2
_USER = "lambda_consumer"  # RabbitMQ allows no `guest`


@check_types
@dataclass(frozen=True, kw_only=True)
class BrokerOptions:
    """A new broker.

    Args:
        engine: ``"RABBITMQ"`` or ``"ACTIVEMQ"``.
        engine_version: Default: RabbitMQ 4.2, which AWS recommends, or ActiveMQ 5.18. Give major and minor
            version: Amazon MQ upgrades to newer patches by itself. RabbitMQ 3.13 can still be given.
        instance_type: Default: ``mq.m7g.large`` for RabbitMQ, ``mq.m5.large`` for ActiveMQ. RabbitMQ 4 runs
            on ``mq.m7g`` only; ``mq.t3.micro`` is for tests, and for one instance of RabbitMQ 3.13.
        multi_az: A cluster of three nodes (RabbitMQ), or a standby (ActiveMQ). Default: one instance, which
            does not answer during maintenance. The network needs two Availability Zones then.

    A new broker of ActiveMQ writes its general log to CloudWatch only where the account has a resource policy
    that lets ``mq.amazonaws.com`` do so: make it before the broker. RabbitMQ needs none.

    Raises:
        ValueError: There is no such engine, or Amazon MQ makes no new broker of this version, or none of this
            version on this instance type.

    Example::

        BrokerOptions(engine="ACTIVEMQ", multi_az=True)
    """

    engine: Engine = "RABBITMQ"
    engine_version: str | None = None
    instance_type: str | None = None
    multi_az: bool = False

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, get_args(Engine))
        version = self.engine_version if self.engine_version is not None else _VERSION[self.engine]
        given = self.instance_type or _INSTANCE_TYPE[self.engine]
        if Token.is_unresolved(version) or Token.is_unresolved(given):
            return
        runs_on = next((on for like, on in _RUN_ON[self.engine].items() if re.fullmatch(like, version)), None)
        if runs_on is None:
            raise ValueError(
                f"engine_version={version!r}: Amazon MQ makes no new {self.engine} broker of it; give major "
                f"and minor version, such as {_VERSION[self.engine]!r}, or leave it out."
            )
        if not given.startswith(runs_on):
            raise ValueError(
                f"instance_type={given!r}: {self.engine} {version} runs on {'*, '.join(runs_on)}* only; give "
                f"one of them, such as {_INSTANCE_TYPE[self.engine]!r}"
                + (", or engine_version='3.13'." if self.engine == "RABBITMQ" else ".")
            )
        if self.engine == "RABBITMQ" and self.multi_az and given.startswith("mq.t3."):
            raise ValueError(
                f"instance_type={given!r}: a cluster of RabbitMQ needs a larger one, such as "
                f"{_INSTANCE_TYPE[self.engine]!r}; give that, or leave multi_az out."
            )

    @property
    def deployment_mode(self) -> str:
        """What CloudFormation calls it."""
        return _MULTI_AZ[self.engine] if self.multi_az else "SINGLE_INSTANCE"


@check_types
@dataclass(frozen=True, kw_only=True)
class ExistingBroker:
    """A broker of this account and Region.

    If it is private, Lambda's pollers use its subnets and security groups. These must allow the broker's port
    (5671 or 61617) within the group, and HTTPS to the endpoints of Lambda, Secrets Manager and, for ActiveMQ,
    STS, or to a NAT gateway.

    Args:
        broker_arn: Its ARN.
        secret: Secrets Manager secret with ``username`` and ``password``, imported by its complete ARN. It is
            in the Region of the broker; one of another account needs a policy and a key that admit the
            function's role.
        engine: ``"RABBITMQ"`` or ``"ACTIVEMQ"``.
        publicly_accessible: Whether the broker is public: then the role needs no permission for network
            interfaces.

    Raises:
        ValueError: There is no such engine, the ARN is not a broker's, or the secret has no complete ARN.

    Example::

        secret = secretsmanager.Secret.from_secret_complete_arn(self, "Login", secret_arn)
        arn = "arn:aws:mq:eu-west-1:123456789012:broker:shop:b-9bcfa592-423a-4942-879d-eb284b418fc8"
        ExistingBroker(broker_arn=arn, engine="ACTIVEMQ", secret=secret)
    """

    broker_arn: str
    secret: secretsmanager.ISecret
    engine: Engine = "RABBITMQ"
    publicly_accessible: bool = False

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, get_args(Engine))
        if not Token.is_unresolved(self.broker_arn) and not _BROKER_ARN.fullmatch(self.broker_arn):
            raise ValueError(
                f"broker_arn={self.broker_arn!r}: it is not the ARN of an Amazon MQ broker; give one, such "
                "as arn:aws:mq:eu-west-1:123456789012:broker:NAME:b-ID."
            )
        if self.secret.secret_full_arn is None:
            raise ValueError(
                f"secret={self.secret.node.path}: it is imported without the complete ARN, which the mapping "
                "needs; import it with Secret.from_secret_complete_arn(...)."
            )


@check_types
@dataclass(frozen=True, kw_only=True)
class MqConsumerOptions:
    """How Lambda reads the queue.

    Args:
        virtual_host: The virtual host of the queue, RabbitMQ only. Default: ``/``.
        batch_size: Maximum number of messages in an invocation, 1 to 10,000. A batch fails as a whole, so a
            small one gets fewer good messages into trouble with a bad one.
        max_batching_window: How long Lambda collects a batch, 0 to 300 seconds. Default: 500 ms.

    Raises:
        ValueError: A value is outside what Lambda allows.

    Example::

        MqConsumerOptions(batch_size=10, max_batching_window=Duration.seconds(5))
    """

    virtual_host: str | None = None
    batch_size: int = 100
    max_batching_window: Duration | None = None

    def __post_init__(self) -> None:
        BATCH_SIZE.check("batch_size", self.batch_size)
        MAX_BATCHING_WINDOW.check("max_batching_window", self.max_batching_window)
        _check_length("virtual_host", self.virtual_host, _VIRTUAL_HOST)
        host = self.virtual_host
        if host is not None and not Token.is_unresolved(host) and not _HOST_LETTERS.fullmatch(host):
            raise ValueError(
                f"virtual_host={host!r}: Lambda takes ASCII letters, digits, spaces and -/*:_+=.@ only; read "
                "the queue from a virtual host with such a name."
            )


@check_types
class MqConsumer(Construct):
    """A function that processes the messages of a broker's queue, in batches.

    It builds the function, the event source mapping and, unless you give a broker, a private broker in the
    network, its security group, a secret with the user that broker and mapping share, and the endpoints that
    Lambda's pollers need there, unless the network has NAT. The pollers act as the function's role, and use
    the subnets and the security group of the broker. The function itself needs no VPC.

    A failed batch returns to the queue as a whole, so the handler must be idempotent. There is no failure
    destination: declare a quorum queue of RabbitMQ with ``x-dead-letter-exchange`` and ``x-delivery-limit``.
    Without that exchange, RabbitMQ 4 **drops** a poison message, with the good ones of its batches, after 20
    returns. ActiveMQ moves a message to ``ActiveMQ.DLQ`` after six redeliveries. The queue itself belongs to
    the broker: an application or an administrator declares it, not CloudFormation.

    Args:
        queue: The name of the queue. A mapping keeps its queue: for another one, give another id, too.
        code: The folder of a new function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        function: An existing function instead, or a version or alias of it, such as ``CanaryAlias.alias``.
            Its role gets a policy for what the pollers do.
        network: The network of a new broker.
        broker: An existing broker instead.
        broker_options: Settings of a new broker. Default: RabbitMQ, one instance.
        options: How Lambda reads the queue.
        function_options: Settings of a new function. Default: 256 MB, 1 minute.
        removal_policy: What happens to broker, secret and logs when the stack is deleted. Default: they are
            retained.

    Raises:
        ValueError: A value is not allowed, there is no broker or two of them, the broker is in another Region
            or account, or the function's timeout exceeds 14 minutes.

    Attributes:
        broker (CfnBroker | None): The new broker.
        broker_arn (str): Its ARN, or that of the existing one.
        secret (ISecret): The secret with the user's name and password.
        connections (Connections | None): Those of a new broker, with its port: they let publishers in.
        function (IFunction): The function that the mapping invokes: the new one (a ``HardenedFunction``), or
            the given function, version or alias.
        event_source_mapping (EventSourceMapping): Reads the queue and invokes the function.

    Example::

        network = PrivateNetwork(self, "Network")
        orders = MqConsumer(self, "Orders", queue="orders", code="worker", network=network)
        orders.connections.allow_default_port_from(ec2.Peer.ipv4("10.0.0.0/16"))

    https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
    https://docs.aws.amazon.com/lambda/latest/dg/process-messages-with-lambda.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        queue: str,
        code: Code | None = None,
        handler: str = DEFAULT_HANDLER,
        function: lambda_.IFunction | None = None,
        network: PrivateNetwork | None = None,
        broker: ExistingBroker | None = None,
        broker_options: BrokerOptions | None = None,
        options: MqConsumerOptions | None = None,
        function_options: FunctionOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = options or MqConsumerOptions()
        target = check_function(function, code, handler, function_options, None)
        function_options = (function_options or FunctionOptions()).with_defaults(
            memory_size=256, timeout=Duration.minutes(1)
        )
        _check_length("queue", queue, _QUEUE)
        if not queue.strip():
            raise ValueError(f"queue={queue!r}: it is empty; give the name of the broker's queue.")
        _check_timeout(timeout_of(function) if function is not None else function_options.timeout)
        _check_broker(network, broker, broker_options)
        engine: Engine = broker.engine if broker is not None else (broker_options or BrokerOptions()).engine
        if engine == "ACTIVEMQ" and options.virtual_host is not None:
            raise ValueError(
                f"options.virtual_host={options.virtual_host!r}: ActiveMQ has none; leave it out, or use "
                "RabbitMQ."
            )
        check_place_of_mapping(scope, "brokers", function=function)
        if broker is not None:
            why = "Lambda reads brokers of its own account and Region only"
            check_region(scope, why, {"broker.broker_arn": broker.broker_arn}, in_account=True)
            why = "Lambda reads secrets in the Region of the mapping only"
            check_region(scope, why, {"broker.secret": broker.secret.secret_full_arn})
        super().__init__(scope, id)
        self.broker: amazonmq.CfnBroker | None = None
        self.connections: ec2.Connections | None = None
        if broker is not None:
            self.broker_arn, self.secret = broker.broker_arn, broker.secret
        else:
            assert network is not None
            self.secret = self._make_secret(removal_policy)
            self.connections = _make_connections(self, engine, network)
            self.broker = self._make_broker(broker_options or BrokerOptions(), network, removal_policy)
            self.broker_arn = self.broker.attr_arn
        self.function, reader = make_reader(self, target, handler, function_options, None, removal_policy)
        self._grant_polling(reader, public=broker is not None and broker.publicly_accessible)
        self.event_source_mapping = self._make_mapping(queue, engine, options)
        # Lambda refuses the mapping if the role may not read the broker yet.
        self.event_source_mapping.node.add_dependency(reader)
        if broker is None and network is not None:
            self._admit_pollers(network, engine)

    def _make_secret(self, removal_policy: RemovalPolicy) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            "Secret",
            description="The user of the broker that Lambda reads as",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=f'{{"username": "{_USER}"}}',
                generate_string_key="password",
                exclude_punctuation=True,  # Amazon MQ refuses commas, colons and equals signs
            ),
            removal_policy=removal_policy,
        )
        acknowledge(
            secret,
            {
                "AwsSolutions-SMG4": "Amazon MQ rotates no password; that of RabbitMQ is changed through the "
                "broker's own API."
            },
        )
        return secret

    def _make_broker(
        self, options: BrokerOptions, network: PrivateNetwork, removal_policy: RemovalPolicy
    ) -> amazonmq.CfnBroker:
        assert self.connections is not None
        mode = options.deployment_mode
        chosen = _subnets(network)
        if options.multi_az and len(chosen) < _LEAST_ZONES:
            raise ValueError(
                "broker_options.multi_az=True: the network has subnets in one Availability Zone only; give "
                "one in two or more, or leave multi_az out."
            )
        subnets = network.vpc.select_subnets(subnets=chosen).subnet_ids
        broker = amazonmq.CfnBroker(
            self,
            "Broker",
            broker_name=_make_name(self, options),
            engine_type=options.engine,
            engine_version=options.engine_version or _VERSION[options.engine],
            host_instance_type=options.instance_type or _INSTANCE_TYPE[options.engine],
            deployment_mode=mode,
            publicly_accessible=False,
            auto_minor_version_upgrade=True,
            logs=amazonmq.CfnBroker.LogListProperty(general=True),
            security_groups=[group.security_group_id for group in self.connections.security_groups],
            subnet_ids=subnets[: _SUBNETS[mode]],
            users=[
                amazonmq.CfnBroker.UserProperty(
                    username=_USER,
                    # A dynamic reference: the template does not contain the password.
                    password=self.secret.secret_value_from_json("password").unsafe_unwrap(),
                )
            ],
        )
        broker.apply_removal_policy(removal_policy)
        return broker

    def _grant_polling(self, reader: Grantee, *, public: bool) -> None:
        for action, arn in (
            ("mq:DescribeBroker", self.broker_arn),
            ("secretsmanager:GetSecretValue", self.secret.secret_arn),
        ):
            iam.Grant.add_to_principal(grantee=reader, actions=[action], resource_arns=[arn])
        grant_use_of_key(reader, self.secret.encryption_key, "kms:Decrypt")
        if not public:
            iam.Grant.add_to_principal(grantee=reader, actions=list(_ON_ALL), resource_arns=["*"])
            reason = "Pollers get network interfaces in the broker's subnets, with ids known only to Lambda."
            acknowledge_wildcard(reader, "*", reason)

    def _make_mapping(
        self, queue: str, engine: Engine, options: MqConsumerOptions
    ) -> lambda_.EventSourceMapping:
        kind = lambda_.SourceAccessConfigurationType
        access = [lambda_.SourceAccessConfiguration(type=kind.BASIC_AUTH, uri=self.secret.secret_arn)]
        if engine == "RABBITMQ":
            host = options.virtual_host or "/"
            access.append(lambda_.SourceAccessConfiguration(type=kind.of("VIRTUAL_HOST"), uri=host))
        mapping = lambda_.EventSourceMapping(
            self,
            "EventSourceMapping",
            target=self.function,
            event_source_arn=self.broker_arn,
            batch_size=options.batch_size,
            max_batching_window=options.max_batching_window,
            source_access_configurations=access,
        )
        resource = mapping.node.default_child
        assert isinstance(resource, lambda_.CfnEventSourceMapping)
        resource.queues = [queue]  # the CDK's construct does not take it
        acknowledge(
            mapping,
            {
                "Serverless-LambdaEventSourceMappingDestination": "A mapping of a broker has no "
                "destinations: the broker's own dead-letter queue gets messages that failed repeatedly."
            },
        )
        return mapping

    def _admit_pollers(self, network: PrivateNetwork, engine: Engine) -> None:
        """Let the pollers reach the services that they call, by endpoints or by NAT.

        https://docs.aws.amazon.com/lambda/latest/dg/services-msk-configure.html has the endpoint policies.
        """
        assert self.connections is not None
        service = ec2.InterfaceVpcEndpointAwsService
        services = [service.LAMBDA_, service.SECRETS_MANAGER]
        if engine == "ACTIVEMQ":
            services.append(service.STS)
        (group,) = self.connections.security_groups
        network.allow_endpoints(group, [] if network.has_nat else services)
        for name, action in (("lambda", "lambda:InvokeFunction"), ("sts", "sts:AssumeRole")):
            endpoint = network.endpoints.get(name)
            if isinstance(endpoint, ec2.InterfaceVpcEndpoint):
                endpoint.add_to_policy(
                    iam.PolicyStatement(
                        principals=[iam.ServicePrincipal("lambda.amazonaws.com")],
                        actions=[action],
                        resources=["*"],
                    )
                )
        for endpoint in network.endpoints.values():
            self.event_source_mapping.node.add_dependency(endpoint)


def _make_name(scope: Construct, options: BrokerOptions) -> str:
    """A name that is unique in the Region; another one for what replaces the broker, which is made first."""
    same = f"{scope.node.addr}/{options.engine}/{options.deployment_mode}"
    digest = hashlib.sha256(same.encode()).hexdigest()[:8]
    # The last part of a stack's id is a UUID. Its name may be too long.
    return f"{digest}-{Fn.select(2, Fn.split('/', Aws.STACK_ID))}"


def _make_connections(scope: Construct, engine: Engine, network: PrivateNetwork) -> ec2.Connections:
    port = ec2.Port.tcp(_PORT[engine])
    group = network.make_security_group(scope, "BrokerSecurityGroup", "Broker, and the pollers of Lambda")
    group.connections.allow_internally(port, "Pollers of Lambda to the broker")
    return ec2.Connections(security_groups=[group], default_port=port)


def _subnets(network: PrivateNetwork) -> list[ec2.ISubnet]:
    """The subnets of the network, one in each Availability Zone, as Amazon MQ asks."""
    chosen = network.subnets
    selected = network.vpc.select_subnets(
        availability_zones=chosen.availability_zones,
        subnet_filters=chosen.subnet_filters,
        subnet_group_name=chosen.subnet_group_name,
        subnets=chosen.subnets,
        subnet_type=chosen.subnet_type,
    )
    by_zone = {subnet.availability_zone: subnet for subnet in reversed(selected.subnets)}
    return list(reversed(by_zone.values()))


def _check_length(name: str, value: str | None, limit: Limit) -> None:
    if value is not None and not Token.is_unresolved(value):
        limit.check(f"len({name})", len(value))


def _check_timeout(timeout: Duration | None) -> None:
    if timeout is None or timeout.is_unresolved():
        return
    if timeout.to_seconds() > _LONGEST_TIMEOUT.to_seconds():
        raise ValueError(
            f"timeout={timeout.to_seconds():,.0f} seconds: Lambda runs the function of a broker for up to 14 "
            "minutes, and may invoke it again after that; lower it."
        )


def _check_broker(
    network: PrivateNetwork | None, broker: ExistingBroker | None, options: BrokerOptions | None
) -> None:
    if broker is None and network is None:
        raise ValueError(
            "network and broker are missing; give network for a new broker, or broker for an existing one."
        )
    if broker is not None and (network is not None or options is not None):
        raise ValueError(
            "network and broker_options cannot be combined with broker, which has its own; leave them out."
        )
