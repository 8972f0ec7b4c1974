"""MqConsumer: broker, secret, network and mapping, what the role may do, and what is refused."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager

from cdk_lambda_patterns import FunctionOptions, PrivateNetwork
from cdk_lambda_patterns.messaging.mq_consumer import (
    BrokerOptions,
    ExistingBroker,
    MqConsumer,
    MqConsumerOptions,
)
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): pass")
BROKER = "arn:aws:mq:eu-west-1:123456789012:broker:theirs:b-9bcfa592-423a-4942-879d-eb284b418fc8"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:theirs-AbCdEf"
REACHING = {
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"),
    *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"),
}
READING = {"mq:DescribeBroker", "secretsmanager:GetSecretValue"}


def consumer(stack: Stack, **more: Any) -> MqConsumer:
    given = {"queue": "orders", "code": CODE, "handler": "index.handler", **more}
    return MqConsumer(stack, "Orders", **given)


def existing(stack: Stack, **more: Any) -> ExistingBroker:
    secret = secretsmanager.Secret.from_secret_complete_arn(stack, "Theirs", SECRET)
    return ExistingBroker(**{"broker_arn": BROKER, "secret": secret, **more})


def new_stack() -> Stack:
    env = Environment(account="123456789012", region="eu-west-1")
    return Stack(App(builtin_cloud_formation_validation=False), "Stack", env=env)


@stack_with
def rabbit(stack: Stack) -> None:
    made = consumer(stack, network=PrivateNetwork(stack, "Network"), removal_policy=RemovalPolicy.DESTROY)
    assert made.connections is not None
    made.connections.allow_default_port_from(ec2.Peer.ipv4("10.0.0.0/16"))


@stack_with
def active(stack: Stack) -> None:
    consumer(
        stack,
        network=PrivateNetwork(stack, "Network", max_azs=3),
        broker_options=BrokerOptions(engine="ACTIVEMQ", multi_az=True),
    )


@stack_with
def with_nat(stack: Stack) -> None:
    consumer(stack, network=PrivateNetwork(stack, "Network", nat_gateways=1))


@stack_with
def public(stack: Stack) -> None:
    key = kms.Key(stack, "Key")
    secret = secretsmanager.Secret(stack, "Login", encryption_key=key)
    broker = existing(stack, engine="ACTIVEMQ", publicly_accessible=True, secret=secret)
    options = MqConsumerOptions(batch_size=7, max_batching_window=Duration.seconds(9))
    consumer(stack, broker=broker, options=options)


@stack_with
def private(stack: Stack) -> None:
    function = lambda_.Function(
        stack, "Given", runtime=lambda_.Runtime.PYTHON_3_13, handler="index.handler", code=CODE
    )
    options = MqConsumerOptions(virtual_host="shop")
    MqConsumer(stack, "Orders", queue="orders", function=function, broker=existing(stack), options=options)


def actions(resources: Resources) -> set[str]:
    """What policies of the stack allow, without logs and traces."""
    found: set[str] = set()
    for policy in resources.all("AWS::IAM::Policy").values():
        for statement in policy["PolicyDocument"]["Statement"]:
            action = statement["Action"]
            found |= {action} if isinstance(action, str) else set(action)
    return {one for one in found if not one.startswith(("logs:", "xray:"))}


def the(resources: Resources, type_: str) -> dict[str, Any]:
    """The properties of the one resource of a type."""
    (found,) = resources.all(type_).values()
    return found


def services(resources: Resources) -> dict[str, dict[str, Any]]:
    """The endpoints, by the last word of their service."""
    found = resources.all("AWS::EC2::VPCEndpoint").values()
    return {json.dumps(one["ServiceName"]).rpartition(".")[2].strip('"]}'): one for one in found}


def test_a_broker_is_private_and_has_the_user_of_the_secret(rabbit: Resources) -> None:
    broker, secret = the(rabbit, "AWS::AmazonMQ::Broker"), the(rabbit, "AWS::SecretsManager::Secret")
    assert (broker["EngineType"], broker["DeploymentMode"]) == ("RABBITMQ", "SINGLE_INSTANCE")
    assert broker["PubliclyAccessible"] is False
    assert len(broker["SubnetIds"]) == 1
    (user,) = broker["Users"]
    template = json.loads(secret["GenerateSecretString"]["SecretStringTemplate"])
    assert template == {"username": user["Username"]}
    assert "{{resolve:secretsmanager:" in json.dumps(user["Password"])
    assert secret["GenerateSecretString"]["ExcludePunctuation"] is True


def test_an_activemq_standby_has_two_subnets_and_no_virtual_host(active: Resources) -> None:
    broker = the(active, "AWS::AmazonMQ::Broker")
    assert broker["DeploymentMode"] == "ACTIVE_STANDBY_MULTI_AZ"
    assert len(broker["SubnetIds"]) == 2
    access = the(active, "AWS::Lambda::EventSourceMapping")["SourceAccessConfigurations"]
    assert [one["Type"] for one in access] == ["BASIC_AUTH"]


def test_pollers_reach_what_they_call_and_sts_for_activemq_only(rabbit: Resources, active: Resources) -> None:
    assert set(services(rabbit)) == {"lambda", "secretsmanager"}
    assert set(services(active)) == {"lambda", "secretsmanager", "sts"}
    for name, action in (("lambda", "lambda:InvokeFunction"), ("sts", "sts:AssumeRole")):
        (statement,) = (
            one for one in services(active)[name]["PolicyDocument"]["Statement"] if one["Action"] == action
        )
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_with_nat_pollers_need_no_endpoints_and_may_connect_by_https(with_nat: Resources) -> None:
    assert services(with_nat) == {}
    (group,) = with_nat.all("AWS::EC2::SecurityGroup").values()
    assert [(rule["CidrIp"], rule["FromPort"]) for rule in group["SecurityGroupEgress"]] == [
        ("0.0.0.0/0", 443)
    ]


@pytest.mark.parametrize(("engine", "port"), [("rabbit", 5671), ("active", 61617)])
def test_only_the_group_itself_may_connect_to_the_broker(
    engine: str, port: int, request: pytest.FixtureRequest
) -> None:
    resources: Resources = request.getfixturevalue(engine)
    rules = resources.all("AWS::EC2::SecurityGroupIngress").values()
    (rule,) = (one for one in rules if one["FromPort"] == port)
    assert rule["SourceSecurityGroupId"] == rule["GroupId"]


def test_connections_let_a_publisher_in_by_the_port_of_the_broker(rabbit: Resources) -> None:
    groups = rabbit.all("AWS::EC2::SecurityGroup").values()
    rules = [rule for group in groups for rule in group.get("SecurityGroupIngress", [])]
    assert [(rule["CidrIp"], rule["FromPort"]) for rule in rules] == [("10.0.0.0/16", 5671)]


def test_the_role_may_do_what_pollers_do_and_nothing_else(rabbit: Resources, private: Resources) -> None:
    assert actions(rabbit) == actions(private) == READING | REACHING


def test_a_public_broker_needs_no_network_interfaces_and_a_key_is_used_to_decrypt_the_secret(
    public: Resources,
) -> None:
    assert actions(public) == {*READING, "kms:Decrypt"}
    mapping = the(public, "AWS::Lambda::EventSourceMapping")
    assert (mapping["EventSourceArn"], mapping["Queues"]) == (BROKER, ["orders"])
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (7, 9)
    assert not public.all("AWS::AmazonMQ::Broker")


def test_a_virtual_host_and_an_existing_secret_are_in_the_mapping(private: Resources) -> None:
    access = the(private, "AWS::Lambda::EventSourceMapping")["SourceAccessConfigurations"]
    assert access == [{"Type": "BASIC_AUTH", "URI": SECRET}, {"Type": "VIRTUAL_HOST", "URI": "shop"}]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "network and broker are missing"),
    "both": ({"broker_options": BrokerOptions(), "broker": None}, "cannot be combined with broker"),
    "queue": ({"queue": "", "broker": None}, r"len\(queue\)=0"),
    "long queue": ({"queue": "q" * 1001, "broker": None}, r"len\(queue\)=1,001"),
    "timeout": (
        {"function_options": FunctionOptions(timeout=Duration.minutes(15)), "broker": None},
        "up to 14 minutes",
    ),
    "virtual host": (
        {"options": MqConsumerOptions(virtual_host="/"), "broker": "ACTIVEMQ"},
        "ActiveMQ has none",
    ),
    "region": ({"broker": BROKER.replace("eu-west-1", "us-east-1")}, "own account and Region only"),
    "account": ({"broker": BROKER.replace("123456789012", "111111111111")}, "own account and Region only"),
}


@pytest.mark.parametrize(("given", "text"), REFUSED.values(), ids=REFUSED)
def test_it_refuses_what_lambda_or_amazon_mq_refuses(given: dict[str, Any], text: str) -> None:
    stack = new_stack()
    arguments = dict(given)
    if "broker" in given:
        engine = "ACTIVEMQ" if given["broker"] == "ACTIVEMQ" else "RABBITMQ"
        arn = given["broker"] if str(given["broker"]).startswith("arn:") else BROKER
        arguments["broker"] = existing(stack, engine=engine, broker_arn=arn)
    with pytest.raises(ValueError, match=text):
        consumer(stack, **arguments)


@pytest.mark.parametrize(
    ("options", "given", "text"),
    [
        (MqConsumerOptions, {"batch_size": 10_001}, "1 to 10,000"),
        (MqConsumerOptions, {"max_batching_window": Duration.seconds(301)}, "0 to 300"),
        (MqConsumerOptions, {"virtual_host": ""}, "1 to 200"),
        (BrokerOptions, {"engine": "KAFKA"}, "choose one of 'RABBITMQ', 'ACTIVEMQ'"),
        (MqConsumerOptions, {"virtual_host": "shop#1"}, "ASCII letters, digits"),
        (MqConsumerOptions, {"virtual_host": "läden"}, "ASCII letters, digits"),
        (BrokerOptions, {"instance_type": "m7g.large"}, r"runs on mq\.m7g"),
        (BrokerOptions, {"instance_type": "mq.banana"}, r"runs on mq\.m7g"),
        (BrokerOptions, {"instance_type": "mq.m5.large"}, "or engine_version='3.13'"),
        (BrokerOptions, {"instance_type": "mq.t3.micro"}, "or engine_version='3.13'"),
        (
            BrokerOptions,
            {"instance_type": "mq.t3.micro", "engine_version": "3.13", "multi_az": True},
            "a cluster of RabbitMQ needs a larger one",
        ),
        (BrokerOptions, {"instance_type": "mq.m7g.large", "engine": "ACTIVEMQ"}, "such as 'mq.m5.large'"),
        (BrokerOptions, {"engine_version": ""}, "such as '4.2'"),
        (BrokerOptions, {"engine_version": "9.9"}, "such as '4.2'"),
        (BrokerOptions, {"engine_version": "4.2.1"}, "major and minor version"),
        (BrokerOptions, {"engine_version": "5.18"}, "such as '4.2'"),
        (BrokerOptions, {"engine_version": "3.13", "engine": "ACTIVEMQ"}, "such as '5.18'"),
    ],
)
def test_options_are_checked_when_they_are_made(options: Any, given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        options(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"engine_version": "3.13", "instance_type": "mq.m5.large"},
        {"engine_version": "3.13", "instance_type": "mq.t3.micro"},
        {"engine_version": "3.13", "multi_az": True},
        {"engine_version": "4.3", "instance_type": "mq.m7g.2xlarge"},
        {"engine": "ACTIVEMQ", "engine_version": "5.19", "instance_type": "mq.t3.micro"},
    ],
)
def test_what_amazon_mq_makes_is_taken(given: dict[str, Any]) -> None:
    BrokerOptions(**given)


def test_a_new_broker_of_rabbitmq_has_the_version_that_aws_recommends(rabbit: Resources) -> None:
    broker = the(rabbit, "AWS::AmazonMQ::Broker")
    assert (broker["EngineVersion"], broker["HostInstanceType"]) == ("4.2", "mq.m7g.large")


def test_the_secret_is_in_the_region_of_the_mapping() -> None:
    stack = new_stack()
    for place, fits in (("us-east-1:123456789012", False), ("eu-west-1:111111111111", True)):
        arn = f"arn:aws:secretsmanager:{place}:secret:theirs-AbCdEf"
        secret = secretsmanager.Secret.from_secret_complete_arn(stack, place[:9], arn)
        broker = ExistingBroker(broker_arn=BROKER, secret=secret)
        with nullcontext() if fits else pytest.raises(ValueError, match=r"broker\.secret=.*us-east-1"):
            consumer(stack, broker=broker)


def test_a_secret_without_its_complete_arn_is_refused() -> None:
    secret = secretsmanager.Secret.from_secret_name_v2(new_stack(), "Theirs", "theirs")
    with pytest.raises(ValueError, match="without the complete ARN"):
        ExistingBroker(broker_arn=BROKER, secret=secret)


@pytest.mark.parametrize("engine", ["RABBITMQ", "ACTIVEMQ"])
def test_several_zones_need_a_network_of_two(engine: Any) -> None:
    stack = new_stack()
    network = PrivateNetwork(stack, "Network", vpc=ec2.Vpc(stack, "Vpc", max_azs=1))
    options = BrokerOptions(engine=engine, multi_az=True)
    with pytest.raises(ValueError, match="one Availability Zone only"):
        consumer(stack, network=network, broker_options=options)


def test_what_is_no_broker_and_no_queue_is_refused() -> None:
    for arn in (
        "arn:aws:sqs:eu-west-1:123456789012:orders",
        "arn:aws:mq",
        "arn:aws:mq:eu-west-1:123456789012:configuration:c-1",
        "arn:aws:mq:eu-west-1:123456789012:broker:shop",
    ):
        with pytest.raises(ValueError, match="not the ARN of an Amazon MQ broker"):
            existing(new_stack(), broker_arn=arn)
    with pytest.raises(ValueError, match="queue='   ': it is empty"):
        consumer(new_stack(), broker=existing(new_stack()), queue="   ")
