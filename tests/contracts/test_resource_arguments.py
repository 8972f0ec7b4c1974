"""Every argument that takes a resource takes it owned, from another stack, and imported.

The arguments are found by their types: those of the public constructs of every row, and those of the options
that these take. A new construct is tested without being named here, unless it requires an argument that has
no value in ``REQUIRED`` yet.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_efs as efs
from aws_cdk import aws_events as events
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_ses as ses
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer
from constructs import Construct

from cdk_lambda_patterns import PrivateNetwork
from cdk_lambda_patterns.core.table import text
from cdk_lambda_patterns.data.rds_events import RdsEventSource
from cdk_lambda_patterns.delivery.container_image import ContainerImageCode
from cdk_lambda_patterns.events.pipeline_events import StateChanges
from cdk_lambda_patterns.messaging.sns_fifo_fanout import Subscriber
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumerOptions
from cdk_lambda_patterns.observability.monitoring import Alarms
from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tasks.synthesis import app_context

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
ARN = "arn:aws:{}:eu-west-1:123456789012:{}"


def queue(scope: Construct) -> sqs.Queue:
    """A queue that a function with the default timeout can read."""
    failures = sqs.DeadLetterQueue(queue=sqs.Queue(scope, "Failures"), max_receive_count=5)
    return sqs.Queue(scope, "R", visibility_timeout=Duration.minutes(30), dead_letter_queue=failures)


def function(scope: Construct) -> lambda_.Function:
    """A function."""
    return lambda_.Function(
        scope, "R", code=CODE, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_14
    )


def table(scope: Construct) -> dynamodb.Table:
    """A table."""
    return dynamodb.Table(scope, "R", partition_key=text("id"))


def imported_table(scope: Construct) -> dynamodb.ITable:
    """A table of which only the name is known."""
    return dynamodb.Table.from_table_name(scope, "R", "theirs")


def imported_vpc(scope: Construct) -> ec2.IVpc:
    """A VPC with public and private subnets."""
    return ec2.Vpc.from_vpc_attributes(
        scope,
        "R",
        vpc_id="vpc-0",
        vpc_cidr_block="10.0.0.0/16",
        availability_zones=["eu-west-1a", "eu-west-1b"],
        public_subnet_ids=["subnet-0", "subnet-1"],
        private_subnet_ids=["subnet-2", "subnet-3"],
        private_subnet_route_table_ids=["rtb-2", "rtb-3"],
    )


def access_point(scope: Construct) -> efs.AccessPoint:
    """An access point whose mount targets are in a group of which the VPC is not known."""
    vpc = ec2.Vpc(scope, "FilesVpc", max_azs=2, nat_gateways=0)
    group = ec2.SecurityGroup.from_security_group_id(scope, "Group", "sg-0")
    return efs.AccessPoint(
        scope, "R", file_system=efs.FileSystem(scope, "Files", vpc=vpc, security_group=group)
    )


def imported_access_point(scope: Construct) -> efs.IAccessPoint:
    """An access point with its file system, and that with its security group."""
    group = ec2.SecurityGroup.from_security_group_id(scope, "Group", "sg-0")
    system = efs.FileSystem.from_file_system_attributes(
        scope, "Files", file_system_id="fs-0", security_group=group
    )
    return efs.AccessPoint.from_access_point_attributes(
        scope, "R", access_point_id="fsap-0", file_system=system
    )


def state_machine(scope: Construct) -> sfn.StateMachine:
    """An Express workflow."""
    states = sfn.DefinitionBody.from_chainable(sfn.Pass(scope, "State"))
    kind = sfn.StateMachineType.EXPRESS
    return sfn.StateMachine(scope, "R", definition_body=states, state_machine_type=kind)


@dataclass(frozen=True)
class Kind:
    """How a kind of resource is made, and how it is imported."""

    owned: Callable[[Construct], Any]
    imported: Callable[[Construct], Any]


KINDS: dict[Any, Kind] = {
    s3.IBucket: Kind(
        lambda scope: s3.Bucket(scope, "R"), lambda scope: s3.Bucket.from_bucket_name(scope, "R", "theirs")
    ),
    sqs.IQueue: Kind(queue, lambda scope: sqs.Queue.from_queue_arn(scope, "R", ARN.format("sqs", "theirs"))),
    dynamodb.ITable: Kind(table, imported_table),
    kinesis.IStream: Kind(
        lambda scope: kinesis.Stream(scope, "R"),
        lambda scope: kinesis.Stream.from_stream_arn(scope, "R", ARN.format("kinesis", "stream/theirs")),
    ),
    sns.ITopic: Kind(
        lambda scope: sns.Topic(scope, "R"),
        lambda scope: sns.Topic.from_topic_arn(scope, "R", ARN.format("sns", "theirs")),
    ),
    events.IEventBus: Kind(
        lambda scope: events.EventBus(scope, "R"),
        lambda scope: events.EventBus.from_event_bus_name(scope, "R", "theirs"),
    ),
    kms.IKey: Kind(
        lambda scope: kms.Key(scope, "R"),
        lambda scope: kms.Key.from_key_arn(scope, "R", ARN.format("kms", "key/theirs")),
    ),
    efs.IAccessPoint: Kind(access_point, imported_access_point),
    ec2.IVpc: Kind(lambda scope: ec2.Vpc(scope, "R", max_azs=2, nat_gateways=1), imported_vpc),
    lambda_.IFunction: Kind(
        function,
        lambda scope: lambda_.Function.from_function_attributes(
            scope, "R", function_arn=ARN.format("lambda", "function:theirs"), same_environment=True
        ),
    ),
    ses.IReceiptRuleSet: Kind(
        lambda scope: ses.ReceiptRuleSet(scope, "R"),
        lambda scope: ses.ReceiptRuleSet.from_receipt_rule_set_name(scope, "R", "theirs"),
    ),
    sfn.IStateMachine: Kind(
        state_machine,
        lambda scope: sfn.StateMachine.from_state_machine_arn(
            scope, "R", ARN.format("states", "stateMachine:theirs")
        ),
    ),
    cloudfront.IKeyValueStore: Kind(
        lambda scope: cloudfront.KeyValueStore(scope, "R"),
        lambda scope: cloudfront.KeyValueStore.from_key_value_store_arn(
            scope, "R", "arn:aws:cloudfront::123456789012:key-value-store/theirs"
        ),
    ),
    PrivateNetwork: Kind(
        lambda scope: PrivateNetwork(scope, "R"),
        lambda scope: PrivateNetwork(scope, "Network", vpc=imported_vpc(scope)),
    ),
}


def table_with_stream(scope: Construct) -> dynamodb.Table:
    """A table with a stream."""
    stream = dynamodb.StreamViewType.NEW_AND_OLD_IMAGES
    return dynamodb.Table(scope, "R", partition_key=text("id"), stream=stream)


#: Values for arguments that a construct requires, by the name of the argument.
REQUIRED: dict[str, Callable[[Construct], Any]] = {
    "aliases": lambda scope: {"prod": 1},
    "auth_type": lambda scope: lambda_.FunctionUrlAuthType.AWS_IAM,
    "authorization": lambda scope: HttpIamAuthorizer(),
    "RestApi.authorization": lambda scope: apigateway.AuthorizationType.IAM,
    "bot_alias_arns": lambda scope: [ARN.format("lex", "bot-alias/COFFEEBOT1/TSTALIASID")],
    "changes": lambda scope: [StateChanges(pipeline_states=["FAILED"])],
    "code": lambda scope: CODE,
    "BatchOperation.source": lambda scope: s3.Bucket(scope, "Source"),
    "CodeFromBucket.bucket": lambda scope: s3.Bucket(scope, "Releases", versioned=True),
    "CodeFromBucket.key": lambda _: f"{'0' * 64}.zip",
    "RdsInvokesLambda.database": lambda scope: rds.DatabaseCluster.from_database_cluster_attributes(
        scope,
        "Database",
        cluster_identifier="theirs",
        engine=rds.DatabaseClusterEngine.AURORA_POSTGRESQL,
        security_groups=[ec2.SecurityGroup.from_security_group_id(scope, "DatabaseGroup", "sg-1")],
    ),
    "functions": lambda scope: [function(Construct(scope, "Invoked"))],
    "CustomRuntimeFunction.code": lambda scope: lambda_.Code.from_bucket(
        s3.Bucket.from_bucket_name(scope, "Runtimes", "theirs"), "bootstrap.zip", "1"
    ),
    "ExistingBroker.broker_arn": lambda _: ARN.format("mq", "broker:theirs:b-1"),
    "MqConsumer.queue": lambda _: "entries",
    "SignedFunction.code": lambda scope: lambda_.Code.from_bucket(
        s3.Bucket.from_bucket_name(scope, "Releases", "theirs"), "app.zip", "1"
    ),
    "ContainerImageFunction.code": lambda scope: ContainerImageCode.from_ecr(
        ecr.Repository.from_repository_name(scope, "Images", "theirs"), tag_or_digest="1.0.0"
    ),
    "definition": lambda scope: sfn.Pass(scope, "Definition"),
    "event_bus": lambda scope: events.EventBus(scope, "Bus"),
    "event_pattern": lambda scope: events.EventPattern(source=["shop"]),
    "log_groups": lambda scope: [logs.LogGroup(scope, "LogGroup")],
    "function": lambda scope: function(Construct(scope, "Function")),
    "network": lambda scope: PrivateNetwork(scope, "Network"),
    "patterns": lambda scope: [function(Construct(scope, "Function"))],
    "recipients": lambda scope: ["help@example.com"],
    "schedule": lambda scope: scheduler.ScheduleExpression.rate(Duration.hours(1)),
    "screen_handler": lambda scope: "index.screen",
    "skill_id": lambda scope: "amzn1.ask.skill.1",
    "source_bucket": lambda scope: s3.Bucket(scope, "Files", versioned=True),
    "sources": lambda scope: [RdsEventSource()],
    "sql": lambda scope: "SELECT * FROM 'sensors/#'",
    "subscribers": lambda scope: {"One": Subscriber(code=CODE)},
    "table": lambda scope: table_with_stream(Construct(scope, "Table")),
    "vpc": lambda scope: ec2.Vpc(scope, "Vpc", max_azs=2, nat_gateways=1),
}

#: What an existing resource can take the place of, by the name of its argument.
INSTEAD_OF = {"function": "code", "state_machine": "definition", "broker": "network"}


def table_with_expiry(attribute: str) -> Kind:
    """Tables with the time to live attribute that a construct needs."""
    return Kind(
        lambda scope: dynamodb.Table(scope, "R", partition_key=text("id"), time_to_live_attribute=attribute),
        imported_table,
    )


VERSIONED_BUCKET = Kind(
    lambda scope: s3.Bucket(scope, "R", versioned=True),
    lambda scope: s3.Bucket.from_bucket_name(scope, "R", "theirs"),
)
#: Arguments that take a special kind of their type, by construct and name.
SPECIAL: dict[str, Kind] = {
    "Thumbnailer-table-ITable": Kind(
        lambda scope: dynamodb.Table(scope, "R", partition_key=text("source_key")), imported_table
    ),
    "MetadataSync-target.table-ITable": Kind(
        lambda scope: dynamodb.Table(scope, "R", partition_key=text("bucket"), sort_key=text("key")),
        imported_table,
    ),
    "AsyncFunction-idempotency_table-ITable": table_with_expiry("expiration"),
    "PipelineEvents-idempotency_table-ITable": table_with_expiry("expiration"),
    "ScheduledFunction-runs_table-ITable": table_with_expiry("expires_at"),
    "DynamoDbStreamConsumer-table-ITable": Kind(
        table_with_stream,
        lambda scope: dynamodb.Table.from_table_attributes(
            scope,
            "R",
            table_arn=ARN.format("dynamodb", "table/theirs"),
            table_stream_arn=ARN.format("dynamodb", "table/theirs/stream/2026-01-01T00:00:00.000"),
        ),
    ),
    "ScratchSpaceFunction-source_bucket-IBucket": VERSIONED_BUCKET,
    "CodeBucket-bucket-IBucket": VERSIONED_BUCKET,
    "SnsFifoFanout-topic-ITopic": Kind(
        lambda scope: sns.Topic(scope, "R", fifo=True),
        lambda scope: sns.Topic.from_topic_arn(scope, "R", ARN.format("sns", "theirs.fifo")),
    ),
}

#: Further arguments that one makes necessary, by construct and name.
FURTHER: dict[str, dict[str, Any]] = {
    "CloudFrontFunctions-key_value_store-IKeyValueStore": {
        "viewer_request": cloudfront.FunctionCode.from_inline(
            "import cf from 'cloudfront';\nfunction handler(event) { return cf.kvs(); }"
        )
    },
    # The timeout of an imported function is unknown.
    "SqsConsumer-function-IFunction": {"options": SqsConsumerOptions(visibility_timeout=Duration.minutes(3))},
    # Without alarms there is no topic.
    "Monitoring-topic-ITopic": {"alarms": Alarms()},
    "Monitoring-encryption_key-IKey": {"alarms": Alarms()},
}

EU = Environment(account="123456789012", region="eu-west-1")
# What a stack owns is given in the tests of each construct, too.
WAYS = (pytest.param("owned", marks=pytest.mark.full), "from another stack", "imported")


@dataclass(frozen=True)
class Argument:
    """An argument of a public construct, or a field of the options that it takes, that takes a resource."""

    construct: type[Construct]
    name: str
    kind: Any
    options: type | None = None  # the dataclass whose field it is
    field: str = ""

    def __str__(self) -> str:
        field = f".{self.field}" if self.field else ""
        return f"{self.construct.__name__}-{self.name}{field}-{self.kind.__name__}"

    @property
    def is_shared(self) -> bool:
        """Whether the options are those of most constructs. A queue and a topic exclude each other."""
        shared = self.options is not None and self.options.__module__.startswith("cdk_lambda_patterns.core.")
        return shared and self.kind is not sns.ITopic


def public_constructs(row: Architecture) -> Iterator[type[Construct]]:
    """The constructs that the row's module offers."""
    name = f"cdk_lambda_patterns.{row.family}.{row.module}"
    for member in vars(importlib.import_module(name)).values():
        if inspect.isclass(member) and issubclass(member, Construct) and member.__module__.startswith(name):
            yield member


def arguments(construct: type[Construct]) -> Iterator[Argument]:
    """Each argument of a construct that takes a resource."""
    for name, hint in hints_of(construct.__init__).items():
        for kind in members(hint):
            if kind in KINDS:
                yield Argument(construct, name, kind)
            elif dataclasses.is_dataclass(kind) and isinstance(kind, type):
                for field, inner in hints_of(kind).items():
                    for one in members(inner):
                        if one in KINDS:
                            yield Argument(construct, name, one, kind, field)


def hints_of(documented: Any) -> dict[str, Any]:
    """The types of the parameters or fields."""
    return typing.get_type_hints(documented)


def members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def required(construct: Any, scope: Construct, *given: str) -> dict[str, Any]:
    """Values for what a construct, or options, require besides some arguments."""
    parameters = inspect.signature(construct.__init__).parameters
    return {
        one.name: (REQUIRED.get(f"{construct.__name__}.{one.name}") or REQUIRED[one.name])(scope)
        for one in parameters.values()
        if (one.kind is one.KEYWORD_ONLY and one.default is one.empty and one.name not in given)
        # A construct that takes an existing function requires either that or the code of a new one.
        or any(
            one.name == new and old in parameters and not {old, new} & {*given}
            for old, new in INSTEAD_OF.items()
        )
    }


ARGUMENTS = [
    argument
    for row in ARCHITECTURES
    if row.has_construct
    for made in public_constructs(row)
    for argument in arguments(made)
]


def in_shared_options() -> dict[str, list[Argument]]:
    """The arguments that a construct gets together, because it takes them as most constructs do."""
    together: dict[str, list[Argument]] = {}
    for argument in ARGUMENTS:
        name = f"{argument.construct.__name__}-shared options" if argument.is_shared else str(argument)
        together.setdefault(name, []).append(argument)
    return together


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("arguments", [pytest.param(v, id=k) for k, v in in_shared_options().items()])
def test_a_resource_may_be_owned_from_another_stack_or_imported(
    arguments: list[Argument], way: str, tmp_path: Any
) -> None:
    app = App(context=app_context(), outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    stack, other = Stack(app, "Mine", env=EU), Stack(app, "Theirs", env=EU)
    given: dict[str, Any] = {}
    for argument in arguments:
        kind, name = SPECIAL.get(str(argument)) or KINDS[argument.kind], f"Of-{argument.field}"
        place = Construct(other if "another" in way else stack, name)
        resource = kind.imported(place) if way == "imported" else kind.owned(place)
        if argument.options is not None:
            rest = required(argument.options, stack, argument.field)
            resource = argument.options(**{argument.field: resource}, **rest)
        given |= {argument.name: resource} | FURTHER.get(str(argument), {})
    [construct] = {argument.construct for argument in arguments}
    construct(stack, "Pattern", **required(construct, stack, *given), **given)
    app.synth()


def test_arguments_are_found_by_their_types() -> None:
    names = {str(argument) for argument in ARGUMENTS}
    assert {"Thumbnailer-source-IBucket", "KinesisConsumer-on_failure-ITopic"} <= names
    assert {"SqsConsumer-options.encryption_key-IKey", "Thumbnailer-network.vpc-IVpc"} <= names
