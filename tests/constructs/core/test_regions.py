"""What AWS calls in one Region only is refused in another one, when the construct is made."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Fn, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_events as events
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, HardenedFunction, LogOptions, NetworkOptions
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.data.rds_proxy import ExistingCluster, ExistingProxy
from cdk_lambda_patterns.data.rds_proxy.pooled_database import check_pooled_database
from cdk_lambda_patterns.delivery import CanaryAlias, Environments, ReleaseAlarms
from cdk_lambda_patterns.events import ScheduledFunction
from cdk_lambda_patterns.identity import CognitoTriggers, Trigger
from cdk_lambda_patterns.messaging import (
    AsyncFunction,
    SnsFifoFanout,
    SnsFifoFanoutOptions,
    SqsConsumer,
    SqsConsumerOptions,
    Subscriber,
)
from cdk_lambda_patterns.storage import DynamoTarget, MetadataSync, Thumbnailer
from cdk_lambda_patterns.streams import KinesisConsumer
from cdk_lambda_patterns.web import AlbFunction, AlbOptions, AlbRule
from tasks.synthesis import app_context

CODE = lambda_.Code.from_inline("def handler(event, context): pass")


def arn(service: str, name: str) -> str:
    return f"arn:aws:{service}:us-east-1:111122223333:{name}"


def queue(stack: Stack) -> sqs.IQueue:
    return sqs.Queue.from_queue_arn(stack, "Elsewhere", arn("sqs", "failures"))


def topic(stack: Stack) -> sns.ITopic:
    return sns.Topic.from_topic_arn(stack, "Elsewhere", arn("sns", "failures"))


def table(stack: Stack) -> dynamodb.ITable:
    return dynamodb.Table.from_table_arn(stack, "Elsewhere", arn("dynamodb", "table/rows"))


def vpc(stack: Stack) -> ec2.IVpc:
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Elsewhere",
        vpc_id="vpc-0123456789abcdef0",
        region="us-east-1",
        availability_zones=["us-east-1a", "us-east-1b"],
        isolated_subnet_ids=["subnet-1", "subnet-2"],
    )


def secret(stack: Stack) -> secretsmanager.ISecret:
    return secretsmanager.Secret.from_secret_complete_arn(
        stack, "Elsewhere", arn("secretsmanager", "secret:writer-a1b2c3")
    )


def cluster(stack: Stack) -> rds.IDatabaseCluster:
    return rds.DatabaseCluster.from_database_cluster_attributes(
        stack,
        "Cluster",
        cluster_identifier="orders",
        port=5432,
        engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_4),
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123456789abcdef0")],
    )


def configured(stack: Stack, **given: Any) -> HardenedFunction:
    options = FunctionOptions(**given)
    return HardenedFunction(stack, "Made", code=CODE, handler="index.handler", options=options)


def function(stack: Stack, **given: object) -> HardenedFunction:
    on_failure = given.pop("on_failure", None)
    return HardenedFunction(
        stack,
        "Function",
        code=CODE,
        handler="index.handler",
        asynchronous=AsyncOptions(**given),  # type: ignore[arg-type]
        on_failure=on_failure,  # type: ignore[arg-type]
    )


FUNCTION = arn("lambda", "function:orders")


def imported(stack: Stack) -> lambda_.IFunction:
    return lambda_.Function.from_function_attributes(
        stack, "Elsewhere", function_arn=FUNCTION, skip_permissions=True
    )


def version(stack: Stack) -> lambda_.IVersion:
    return lambda_.Version.from_version_arn(stack, "Elsewhere", f"{FUNCTION}:7")


def alias(stack: Stack) -> lambda_.IAlias:
    return lambda_.Alias.from_alias_attributes(
        stack, "Alias", alias_name="live", alias_version=version(stack)
    )


def key(stack: Stack) -> kms.IKey:
    return kms.Key.from_key_arn(stack, "Elsewhere", arn("kms", "key/12345678-1234-1234-1234-123456789012"))


def front(stack: Stack, **given: Any) -> AlbFunction:
    return AlbFunction(stack, "Made", **{"function": function(stack), **given})


def listener(stack: Stack) -> elbv2.IApplicationListener:
    return elbv2.ApplicationListener.from_application_listener_attributes(
        stack,
        "Elsewhere",
        listener_arn=arn("elasticloadbalancing", "listener/app/shared/0123/4567"),
        security_group=ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123456789abcdef0"),
    )


def balancer(stack: Stack) -> elbv2.IApplicationLoadBalancer:
    return elbv2.ApplicationLoadBalancer.from_application_load_balancer_attributes(
        stack,
        "Elsewhere",
        load_balancer_arn=arn("elasticloadbalancing", "loadbalancer/app/shared/0123"),
        security_group_id="sg-0123456789abcdef0",
    )


def consumer(stack: Stack, **given: Any) -> object:
    code: dict[str, Any] = {} if "function" in given else {"code": CODE, "handler": "index.handler"}
    return SqsConsumer(stack, "Made", **code, **given)


def released(stack: Stack, **given: Any) -> object:
    return CanaryAlias(stack, "Made", **{"function": function(stack), **given})


def proxy(stack: Stack) -> ExistingProxy:
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0123456789abcdef0")
    return ExistingProxy(
        user="app",
        proxy=rds.DatabaseProxy.from_database_proxy_attributes(
            stack,
            "Elsewhere",
            db_proxy_arn=arn("rds", "db-proxy:prx-0123456789abcdef0"),
            db_proxy_name="orders",
            endpoint="orders.proxy-a1b2c3.us-east-1.rds.amazonaws.com",
            security_groups=[group],
        ),
        proxy_security_group=group,
    )


REFUSED: dict[str, Callable[[Stack], object]] = {
    "thumbnailer-queue": lambda s: Thumbnailer(s, "Made", failure_queue=queue(s)),
    "thumbnailer-table": lambda s: Thumbnailer(s, "Made", table=table(s)),
    "sync-queue": lambda s: MetadataSync(s, "Made", failure_queue=queue(s)),
    "sync-table": lambda s: MetadataSync(s, "Made", target=DynamoTarget(table=table(s))),
    "kinesis-queue": lambda s: KinesisConsumer(
        s, "Made", code=CODE, handler="index.handler", on_failure=queue(s)
    ),
    "kinesis-topic": lambda s: KinesisConsumer(
        s, "Made", code=CODE, handler="index.handler", on_failure=topic(s)
    ),
    "dead-letter-queue": lambda s: function(s, dead_letter_queue=queue(s)),
    "on-failure": lambda s: function(s, on_failure=destinations.SqsDestination(queue(s))),
    "on-success": lambda s: function(s, on_success=destinations.SnsDestination(topic(s))),
    "secret": lambda s: check_pooled_database(
        ExistingCluster(cluster=cluster(s), secret=secret(s), user="writer"),
        None,
        PrivateNetwork(s, "Network"),
        Duration.seconds(30),
    ),
    "vpc": lambda s: PrivateNetwork(s, "Made", vpc=vpc(s)),
    "vpc-of-a-function": lambda s: HardenedFunction(
        s, "Made", code=CODE, handler="index.handler", network=NetworkOptions(vpc=vpc(s))
    ),
    "proxy": lambda s: check_pooled_database(
        proxy(s), None, PrivateNetwork(s, "Network"), Duration.seconds(30)
    ),
    "on-failure-function": lambda s: function(s, on_failure=destinations.LambdaDestination(imported(s))),
    "on-failure-bus": lambda s: function(
        s,
        on_failure=destinations.EventBridgeDestination(
            events.EventBus.from_event_bus_arn(s, "Elsewhere", arn("events", "event-bus/orders"))
        ),
    ),
    "environment-key": lambda s: configured(s, environment_encryption=key(s)),
    "log-key": lambda s: configured(s, logs=LogOptions(encryption_key=key(s))),
    "layer": lambda s: configured(
        s, layers=[lambda_.LayerVersion.from_layer_version_arn(s, "Elsewhere", arn("lambda", "layer:x:3"))]
    ),
    "code-signing": lambda s: configured(
        s,
        code_signing_config=lambda_.CodeSigningConfig.from_code_signing_config_arn(
            s, "Elsewhere", arn("lambda", "code-signing-config:csc-0123456789abcdef0")
        ),
    ),
    "kinesis-alias": lambda s: KinesisConsumer(s, "Made", function=alias(s)),
    "kinesis-version": lambda s: KinesisConsumer(s, "Made", function=version(s)),
    "kinesis-stream": lambda s: KinesisConsumer(
        s,
        "Made",
        code=CODE,
        handler="index.handler",
        stream=kinesis.Stream.from_stream_arn(s, "Elsewhere", arn("kinesis", "stream/clicks")),
    ),
    "sqs-alias": lambda s: consumer(s, function=alias(s)),
    "sqs-queue": lambda s: consumer(s, queue=queue(s)),
    "sqs-key": lambda s: consumer(s, options=SqsConsumerOptions(encryption_key=key(s))),
    "sns-key": lambda s: SnsFifoFanout(
        s,
        "Made",
        subscribers={"Mails": Subscriber(code=CODE, handler="index.handler")},
        options=SnsFifoFanoutOptions(encryption_key=key(s)),
    ),
    "trigger": lambda s: CognitoTriggers(s, "Made", pre_sign_up=Trigger(function=imported(s))),
    "environments": lambda s: Environments(s, "Made", function=imported(s), aliases={"prod": 1}),
    "release": lambda s: CanaryAlias(s, "Made", function=version(s)),
    "release-hook": lambda s: released(s, pre_hook=imported(s)),
    "release-alarm": lambda s: released(
        s,
        alarms=ReleaseAlarms(
            others=[cloudwatch.Alarm.from_alarm_arn(s, "Elsewhere", arn("cloudwatch", "alarm:late"))]
        ),
    ),
    "alb-function": lambda s: front(s, function=imported(s)),
    "alb-alias": lambda s: front(s, function=alias(s)),
    "alb-vpc": lambda s: front(s, vpc=vpc(s)),
    "alb-certificate": lambda s: front(
        s, certificate=acm.Certificate.from_certificate_arn(s, "Elsewhere", arn("acm", "certificate/0123"))
    ),
    "alb-balancer": lambda s: front(s, load_balancer=balancer(s)),
    "alb-listener": lambda s: front(s, rule=AlbRule(listener=listener(s), priority=1, paths=("/a",))),
    "alb-logs": lambda s: front(
        s,
        options=AlbOptions(
            access_logs_bucket=s3.Bucket.from_bucket_attributes(
                s, "Elsewhere", bucket_name="logs", region="us-east-1"
            )
        ),
    ),
    "alb-web-acl": lambda s: front(
        s, options=AlbOptions(web_acl_arn=arn("wafv2", "regional/webacl/shop/0123"))
    ),
}


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in REFUSED.items()])
def test_a_resource_of_another_region_is_refused(make: Callable[[Stack], object]) -> None:
    stack = Stack(App(context=app_context()), "Stack", env=Environment(region="eu-west-1"))
    with pytest.raises(ValueError, match="it is in us-east-1, and this stack in eu-west-1"):
        make(stack)


REASON = "A service has it in its own place only"


def place(region: str, account: str = "111122223333") -> Environment:
    return Environment(region=region, account=account)


def test_a_resource_from_another_stack_in_another_region_is_refused() -> None:
    app = App(context=app_context())
    here = Stack(app, "Here", env=place("eu-west-1"), cross_region_references=True)
    there = Stack(app, "There", env=place("us-east-1"), cross_region_references=True)
    failures = sqs.Queue(there, "Failures")
    with pytest.raises(
        ValueError, match=r"asynchronous\.dead_letter_queue=There/Failures: it is in us-east-1"
    ):
        function(here, dead_letter_queue=failures)
    with pytest.raises(ValueError, match="on_failure=There/Failures: it is in us-east-1"):
        function(
            Stack(app, "Second", env=place("eu-west-1")), on_failure=destinations.SqsDestination(failures)
        )


def test_the_account_counts_where_aws_requires_it() -> None:
    stack = Stack(App(), "Stack", env=place("us-east-1", "444455556666"))
    theirs = {"function": version(stack)}
    check_region(stack, REASON, theirs)
    with pytest.raises(
        ValueError, match="function=Stack/Elsewhere: it is in 111122223333, and this stack in 4"
    ):
        check_region(stack, REASON, theirs, in_account=True)


@pytest.mark.parametrize(
    "name", ["thumbnailer-table", "sync-table", "sqs-alias", "kinesis-version", "alb-function"]
)
def test_what_must_be_in_the_account_of_the_stack_is_refused_in_another_one(name: str) -> None:
    stack = Stack(App(context=app_context()), "Stack", env=place("us-east-1", "444455556666"))
    with pytest.raises(ValueError, match="it is in 111122223333, and this stack in 444455556666"):
        REFUSED[name](stack)


@pytest.mark.parametrize("region", ["us-east-1", None])
def test_the_same_and_unknown_places_pass(region: str | None) -> None:
    stack = Stack(App(), "Stack", env=Environment(region=region))
    known: dict[str, Any] = {
        "alias": alias(stack),
        "bucket": "arn:aws:s3:::theirs",
        "queue": arn("sqs", "failures"),
    }
    check_region(stack, REASON, known, in_account=True)
    unknown = Fn.import_value("arn")
    certificate = acm.Certificate.from_certificate_arn(stack, "Certificate", unknown)
    check_region(stack, REASON, {"certificate": certificate, "arn": unknown, "none": None}, in_account=True)


@pytest.mark.parametrize("name", ["idempotency_table", "runs_table"])
def test_a_table_of_another_place_is_refused_and_the_key_of_an_own_one_is_granted(name: str) -> None:
    stack = Stack(App(), "S", env=Environment(account="123456789012", region="eu-west-1"))

    def make(id: str, table: dynamodb.ITable) -> object:
        if name == "runs_table":
            every_day = scheduler.ScheduleExpression.rate(Duration.days(1))
            return ScheduledFunction(
                stack, id, code=CODE, handler="index.handler", schedule=every_day, runs_table=table
            )
        return AsyncFunction(stack, id, code=CODE, handler="index.handler", idempotency_table=table)

    for number, place in enumerate(("us-east-1:123456789012", "eu-west-1:111122223333")):
        theirs = dynamodb.Table.from_table_arn(stack, f"T{number}", f"arn:aws:dynamodb:{place}:table/t")
        with pytest.raises(ValueError, match=f"^{name}=S/T{number}: it is in"):
            make(f"Refused{number}", theirs)
    key = kms.Key(stack, "Key")
    partition_key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
    own = dynamodb.Table(
        stack,
        "Own",
        partition_key=partition_key,
        encryption_key=key,
        time_to_live_attribute="expires_at" if name == "runs_table" else "expiration",
    )
    make("Made", own)
    policies = str(Template.from_stack(stack).find_resources("AWS::IAM::Policy"))
    roles = str(Template.from_stack(stack).find_resources("AWS::IAM::Role"))
    assert "kms:DescribeKey" in policies + roles
