"""What AWS calls in one Region only is refused in another one, when the construct is made."""

from collections.abc import Callable

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns import AsyncOptions, HardenedFunction
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.data.rds_proxy import ExistingCluster
from cdk_lambda_patterns.data.rds_proxy.pooled_database import check_pooled_database
from cdk_lambda_patterns.storage import DynamoTarget, MetadataSync, Thumbnailer
from cdk_lambda_patterns.streams import KinesisConsumer
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
}


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in REFUSED.items()])
def test_a_resource_of_another_region_is_refused(make: Callable[[Stack], object]) -> None:
    stack = Stack(App(context=app_context()), "Stack", env=Environment(region="eu-west-1"))
    with pytest.raises(ValueError, match="it is in us-east-1, and this stack in eu-west-1"):
        make(stack)
