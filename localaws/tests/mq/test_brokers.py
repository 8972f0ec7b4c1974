"""Brokers of Amazon MQ as records and in templates, and the event source mappings that name them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.stacks import DeploymentFailedError, Resources, deploy, ref, session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

USER = {"Username": "consumer", "Password": "correct horse battery"}
SUBNETS = ["subnet-1", "subnet-2"]
READING = (
    *(("mq:DescribeBroker", "*"), ("secretsmanager:GetSecretValue", "*")),
    *(("ec2:CreateNetworkInterface", "*"), ("ec2:DeleteNetworkInterface", "*")),
    *(("ec2:DescribeNetworkInterfaces", "*"), ("ec2:DescribeSecurityGroups", "*")),
    *(("ec2:DescribeSubnets", "*"), ("ec2:DescribeVpcs", "*")),
)


def broker(**changes: Any) -> dict[str, Any]:
    given = {
        "BrokerName": f"b{uuid.uuid4().hex[:8]}",
        "EngineType": "RABBITMQ",
        "EngineVersion": "3.13",
        "HostInstanceType": "mq.m7g.large",
        "DeploymentMode": "SINGLE_INSTANCE",
        "PubliclyAccessible": False,
        "Users": [USER],
        **changes,
    }
    if given["EngineType"] == "ACTIVEMQ":
        given |= {"EngineVersion": "5.18", "HostInstanceType": "mq.m5.large"}
    return given


REFUSED: dict[str, dict[str, Any]] = {
    "two users of RabbitMQ": {"Users": [USER, USER | {"Username": "other"}]},
    "no user": {"Users": []},
    "guest": {"Users": [USER | {"Username": "guest"}]},
    "tilde": {"Users": [USER | {"Username": "a~b"}]},
    "short password": {"Users": [USER | {"Password": "abcdefghijk"}]},
    "three characters": {"Users": [USER | {"Password": "abcabcabcabc"}]},
    "comma": {"Users": [USER | {"Password": "abcdefghijkl,"}]},
    "unknown instance type": {"HostInstanceType": "mq.banana"},
    "version": {"EngineVersion": "9.9"},
    "version of ActiveMQ": {"EngineVersion": "5.18"},
    "RabbitMQ 4 on m5": {"EngineVersion": "4.2", "HostInstanceType": "mq.m5.large"},
    "the newest RabbitMQ on t3": {"EngineVersion": "", "HostInstanceType": "mq.t3.micro"},
    "a cluster of t3": {"DeploymentMode": "CLUSTER_MULTI_AZ", "HostInstanceType": "mq.t3.micro"},
    "subnets of one instance": {"SubnetIds": SUBNETS},
    "mode of ActiveMQ": {"DeploymentMode": "ACTIVE_STANDBY_MULTI_AZ", "SubnetIds": SUBNETS},
    "subnets of a standby": {
        "EngineType": "ACTIVEMQ",
        "DeploymentMode": "ACTIVE_STANDBY_MULTI_AZ",
        "SubnetIds": SUBNETS[:1],
    },
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_amazon_mq_refuses_it(local_aws: LocalAws, changes: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        local_aws.client("mq").create_broker(**broker(**changes))
    assert caught.value.response["Error"]["Code"] == "BadRequestException"


def test_a_version_of_rabbitmq_has_its_instance_types_when_it_is_upgraded_too(local_aws: LocalAws) -> None:
    client = local_aws.client("mq")
    made = client.create_broker(**broker(HostInstanceType="mq.t3.micro"))["BrokerId"]
    with pytest.raises(ClientError, match=r"RabbitMQ 4\.2 does not run on mq\.t3\.micro"):
        client.update_broker(BrokerId=made, EngineVersion="4.2")
    client.update_broker(BrokerId=made, EngineVersion="4.2", HostInstanceType="mq.m7g.medium")


def test_a_template_has_brokers_of_both_engines(local_aws: LocalAws) -> None:
    standby = broker(
        EngineType="ACTIVEMQ", DeploymentMode="ACTIVE_STANDBY_MULTI_AZ", SubnetIds=SUBNETS, Users=[USER]
    )
    stack = deploy(
        local_aws,
        {
            "Rabbit": {"Type": "AWS::AmazonMQ::Broker", "Properties": broker(SubnetIds=SUBNETS[:1])},
            "Active": {"Type": "AWS::AmazonMQ::Broker", "Properties": standby},
        },
        {
            "Arn": {"Fn::GetAtt": ["Rabbit", "Arn"]},
            "Id": ref("Rabbit"),
            "Amqp": {"Fn::Join": [" ", {"Fn::GetAtt": ["Rabbit", "AmqpEndpoints"]}]},
            "OpenWire": {"Fn::Join": [" ", {"Fn::GetAtt": ["Active", "OpenWireEndpoints"]}]},
        },
    )
    made = stack.outputs
    client = local_aws.client("mq")
    described = client.describe_broker(BrokerId=made["Id"])
    assert made["Arn"].endswith(f":broker:{described['BrokerName']}:{made['Id']}")
    assert made["Amqp"] == f"amqps://{made['Id']}.mq.{local_aws.region}.amazonaws.com:5671"
    assert [one.rpartition(":")[2] for one in made["OpenWire"].split()] == ["61617", "61617"]
    assert described["Users"] == [{"Username": "consumer"}]
    assert described["SubnetIds"] == SUBNETS[:1]
    client.create_tags(ResourceArn=made["Arn"], Tags={"a": "b"})
    assert client.list_tags(ResourceArn=made["Arn"])["Tags"] == {"a": "b"}
    stack.delete()
    assert not [one for one in client.list_brokers()["BrokerSummaries"] if one["BrokerId"] == made["Id"]]


def test_a_policy_names_a_broker_by_its_arn(local_aws: LocalAws) -> None:
    make = local_aws.client("mq").create_broker
    mine, other = make(**broker(EngineType="ACTIVEMQ")), make(**broker())
    arn = mine["BrokerArn"]
    caller = session_of(local_aws, ("mq:*", arn)).client("mq")
    assert caller.describe_broker(BrokerId=mine["BrokerId"])["BrokerArn"] == arn
    caller.list_users(BrokerId=mine["BrokerId"])
    with pytest.raises(ClientError, match="is not authorized"):
        caller.describe_broker(BrokerId=other["BrokerId"])


def test_a_template_with_a_broker_that_is_refused_fails(local_aws: LocalAws) -> None:
    properties = broker(Users=[USER | {"Username": "guest"}])
    with pytest.raises(DeploymentFailedError, match="The username 'guest' is invalid"):
        deploy(local_aws, {"Rabbit": {"Type": "AWS::AmazonMQ::Broker", "Properties": properties}})


class Mapped:
    """A function whose role may read brokers, a broker of each engine, and a secret."""

    def __init__(self, functions: Functions) -> None:
        client = functions.aws.client
        self.functions, self.client = functions, client("lambda")
        self.function = functions.make("def handler(event, context): ...", role=functions.role(*READING))
        make = client("mq").create_broker
        self.rabbit = make(**broker())["BrokerArn"]
        self.active = make(**broker(EngineType="ACTIVEMQ"))["BrokerArn"]
        self.secret = client("secretsmanager").create_secret(Name=uuid.uuid4().hex, SecretString="{}")["ARN"]
        self.login = {"Type": "BASIC_AUTH", "URI": self.secret}
        self.host = {"Type": "VIRTUAL_HOST", "URI": "/"}

    def map(self, **changes: Any) -> dict[str, Any]:
        given = {
            "EventSourceArn": self.rabbit,
            "FunctionName": self.function,
            "Queues": ["orders"],
            "SourceAccessConfigurations": [self.login, self.host],
            **changes,
        }
        made: dict[str, Any] = self.client.create_event_source_mapping(**given)
        return made


@pytest.fixture
def mapped(functions: Functions) -> Mapped:
    return Mapped(functions)


def test_a_mapping_keeps_queue_and_secret_has_batches_of_100_and_no_starting_position(mapped: Mapped) -> None:
    made = mapped.map()
    assert (made["Queues"], made["BatchSize"]) == (["orders"], 100)
    assert made["SourceAccessConfigurations"] == [mapped.login, mapped.host]
    assert not {"StartingPosition", "MaximumBatchingWindowInSeconds"} & made.keys()
    name = "MaximumBatchingWindowInSeconds"  # 0 is not the 500 ms that a mapping without it has
    other = {"EventSourceArn": mapped.active, "SourceAccessConfigurations": [mapped.login]}
    assert mapped.map(**other, **{name: 0})[name] == 0
    changed = mapped.client.update_event_source_mapping(
        UUID=made["UUID"], BatchSize=7, SourceAccessConfigurations=[mapped.login]
    )
    assert (changed["BatchSize"], changed["Queues"]) == (7, ["orders"])
    assert changed["SourceAccessConfigurations"] == [mapped.login, mapped.host]
    with pytest.raises(ClientError, match="VIRTUAL_HOST cannot be specified in an Update"):
        mapped.client.update_event_source_mapping(
            UUID=made["UUID"], SourceAccessConfigurations=[mapped.login, mapped.host]
        )


def test_a_stack_update_changes_neither_queue_nor_virtual_host_of_a_mapping(mapped: Mapped) -> None:
    def resources(**changes: Any) -> Resources:
        given = {
            "EventSourceArn": mapped.rabbit,
            "FunctionName": mapped.function,
            "Queues": ["orders"],
            "SourceAccessConfigurations": [mapped.login, mapped.host],
        }
        return {"Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": given | changes}}

    outputs = {"Id": ref("Mapping")}
    stack = deploy(mapped.functions.aws, resources(), outputs)
    host, first = mapped.host | {"URI": "/other"}, stack.outputs["Id"]
    access = {"SourceAccessConfigurations": [mapped.login, host]}
    stack.update(resources(Queues=["returns"], BatchSize=7, **access), outputs)
    found = mapped.client.get_event_source_mapping(UUID=first)
    assert (stack.outputs["Id"], found["Queues"], found["BatchSize"]) == (first, ["orders"], 7)
    assert found["SourceAccessConfigurations"] == [mapped.login, mapped.host]
    other = mapped.functions.aws.client("mq").create_broker(**broker())["BrokerArn"]
    stack.update(resources(EventSourceArn=other, Queues=["returns"], **access), outputs)
    found = mapped.client.get_event_source_mapping(UUID=stack.outputs["Id"])
    assert (stack.outputs["Id"] != first, found["Queues"]) == (True, ["returns"])
    assert found["SourceAccessConfigurations"] == [mapped.login, host]


def test_lambda_refuses_mappings_that_cannot_read_a_queue_of_a_broker(mapped: Mapped) -> None:
    for changes, text in (
        ({"Queues": ["a", "b"]}, "less than or equal to 1|Exactly one queue"),
        ({"SourceAccessConfigurations": [mapped.host]}, "Exactly one BASIC_AUTH"),
        ({"SourceAccessConfigurations": [mapped.login, mapped.login]}, "Exactly one BASIC_AUTH"),
        ({"SourceAccessConfigurations": [mapped.login, mapped.host | {"URI": "a b"}]}, "URI"),
        ({"EventSourceArn": mapped.active}, "Unsupported SourceAccessConfigurations"),
        ({"EventSourceArn": mapped.rabbit[:-1]}, "does not exist in this account"),
        ({"BatchSize": 10_001}, "10001"),
        ({"MaximumBatchingWindowInSeconds": 301}, "301"),
    ):
        with pytest.raises(ClientError, match=text):
            mapped.map(**changes)


@pytest.mark.parametrize("missing", [action for action, _resource in READING])
def test_lambda_refuses_a_mapping_whose_role_lacks_a_permission(functions: Functions, missing: str) -> None:
    mapped = Mapped(functions)
    lacking = functions.role(*(one for one in READING if one[0] != missing))
    mapped.function = functions.make("def handler(event, context): ...", role=lacking)
    with pytest.raises(ClientError, match=f"permissions to call {missing.partition(':')[2]} on "):
        mapped.map()
