"""Amazon MQ brokers as records, in CloudFormation too: what AWS refuses of one, its ARN and its endpoints.

The emulator has an API of records, whose ARNs lack the name and whose endpoints are on this machine, where
nothing listens; CloudFormation lacks the type.

Faithful to: `AWS::AmazonMQ::Broker` with its attributes and replacement; ids and ARNs; endpoints of each
engine with the names and ports of AWS; subnets, security groups and users are returned; a private broker in
as many subnets as its deployment mode needs; versions of engines, with the instance types on which they run;
one user of RabbitMQ; names and passwords of users;
permissions for one broker by its ARN.
Not to: brokers. Nothing listens at the endpoints, and a new broker is RUNNING at once. With
`LocalAws.with_broker`, event source mappings read a real one. Configurations, logs, encryption, storage and
maintenance windows have no effect.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-amazonmq-broker.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-amazonmq-broker-user.html
https://docs.aws.amazon.com/amazon-mq/latest/api-reference/brokers.html
https://docs.aws.amazon.com/amazon-mq/latest/developer-guide/rabbitmq-version-management.html
https://docs.aws.amazon.com/amazon-mq/latest/developer-guide/rabbitmq-sizing-guidelines.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonmq.html
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import mq

from localaws.patching import Created, Properties, around, changes, new_resource, recorded_only, replaces
from localaws.services.iam.resources import Request, resource_of

_TYPE = "AWS::AmazonMQ::Broker"
_REPLACED = (
    *("BrokerName", "DeploymentMode", "EncryptionOptions", "EngineType", "PubliclyAccessible"),
    *("StorageType", "SubnetIds"),
)
_KEPT = ("securityGroups", "subnetIds", "logs", "encryptionOptions", "maintenanceWindowStartTime")
# How many subnets a private broker needs, at least and at most.
_SUBNETS = {"SINGLE_INSTANCE": (1, 1), "ACTIVE_STANDBY_MULTI_AZ": (2, 2), "CLUSTER_MULTI_AZ": (1, 99)}
# Schemes and ports, by the attribute that has the endpoints.
_ENDPOINTS = {
    "RABBITMQ": {"AmqpEndpoints": ("amqps", 5671)},
    "ACTIVEMQ": {
        "OpenWireEndpoints": ("ssl", 61617),
        "AmqpEndpoints": ("amqp+ssl", 5671),
        "StompEndpoints": ("stomp+ssl", 61614),
        "MqttEndpoints": ("mqtt+ssl", 8883),
        "WssEndpoints": ("wss", 61619),
    },
}
_SMALL = "mq.t3.micro"
_BROKER_PATH = re.compile(r"/v1/brokers/([^/]+)")
_USER_NAME = {
    "RABBITMQ": re.compile(r"(?!guest\Z)[A-Za-z0-9._-]{2,100}"),
    "ACTIVEMQ": re.compile(r"[A-Za-z0-9._~-]{2,100}"),
}

recorded_only(_TYPE, "Logs")


@resource_of("mq")
def _broker_arn(request: Request) -> str | None:
    """The ARN of the broker in the path: the emulator has the id in place of the name."""
    found = _BROKER_PATH.match(request.path)
    broker = mq._brokers.get(found[1]) if found else None
    return str(broker["brokerArn"]) if broker else None


@replaces(mq, "new_uuid")
def _new_uuid() -> str:
    return f"b-{uuid.uuid4()}"


@around(mq, "_create_broker")
def _create_broker(stock: Callable[[Properties], Any], body: Properties) -> Any:
    found = mq._validate_broker_config(body) or _refusal(body) or _wrong_instance(body)
    if found:
        return found
    broker = mq._brokers[json.loads(stock(body)[2])["brokerId"]]
    tags = mq._tags.pop(broker["brokerArn"])
    place = f"{get_region()}:{get_account_id()}"
    broker["brokerArn"] = f"arn:aws:mq:{place}:broker:{broker['brokerName']}:{broker['brokerId']}"
    mq._tags[broker["brokerArn"]] = tags
    broker.update({name: body[name] for name in _KEPT if name in body})
    broker["storageType"] = body.get("storageType", "EBS")
    broker["users"] = [{"username": one["username"]} for one in body["users"]]
    broker["brokerInstances"] = _instances(broker)
    return mq._ok({"brokerId": broker["brokerId"], "brokerArn": broker["brokerArn"]})


@changes(mq, "SUPPORTED_ENGINES")
def _engines(stock: dict[str, Any]) -> dict[str, Any]:
    """Those of the emulator, and RabbitMQ on mq.t3.micro, as AWS documents it for 3.13."""
    rabbit = stock["RABBITMQ"]
    return {
        **stock,
        "RABBITMQ": {**rabbit, "host_instance_types": [*rabbit["host_instance_types"], _SMALL]},
    }


@around(mq, "_validate_broker_update_fields")
def _validate_update(
    stock: Callable[[Properties, Properties], Any], broker: Properties, body: Properties
) -> Any:
    return stock(broker, body) or _wrong_instance({**broker, **body})


def _wrong_instance(body: Properties) -> Any:
    """The answer to a request for a version of RabbitMQ that does not run on the instance type."""
    if str(body["engineType"]).upper() != "RABBITMQ":
        return None
    version = body.get("engineVersion") or mq.SUPPORTED_ENGINES["RABBITMQ"]["versions"][0]
    given = body.get("hostInstanceType", "")
    cluster = str(body.get("deploymentMode", "")).upper() == "CLUSTER_MULTI_AZ"
    wrong = not given.startswith("mq.m7g.") if version.startswith("4.") else given == _SMALL and cluster
    if not wrong:
        return None
    text = f"RabbitMQ {version} does not run on {given}{' in a cluster' if cluster else ''}."
    return mq._err(400, "HostInstanceType", text)


@replaces(mq, "_resolve_broker_arn")
def _resolve_broker_arn(resource_arn: str) -> Any:
    if any(one["brokerArn"] == resource_arn for one in mq._brokers.values()):
        return resource_arn, None
    return None, mq._err(404, "ResourceArn", mq.ERROR_MESSAGES["RESOURCE_NOT_FOUND"].format(resource_arn))


def _refusal(body: Properties) -> Any:
    """The answer to a request whose users or subnets Amazon MQ refuses; None if it takes them."""
    engine, users = str(body["engineType"]).upper(), body.get("users") or []
    if not users or (engine == "RABBITMQ" and len(users) > 1):
        return mq._err(400, "Users", "A broker needs a user; a RabbitMQ broker has exactly one.")
    for user in users:
        if not _USER_NAME[engine].fullmatch(str(user.get("username", ""))):
            return mq._err(400, "Username", f"The username {user.get('username')!r} is invalid.")
        password = str(user.get("password", ""))
        if len(password) < 12 or len(set(password)) < 4 or set(password) & set(",:="):
            text = "The password must have at least 12 characters, 4 of them unique, and no comma, colon or ="
            return mq._err(400, "Password", text)
    mode = str(body.get("deploymentMode", "SINGLE_INSTANCE")).upper()
    least, most = _SUBNETS[mode]
    subnets = body.get("subnetIds") or []
    # Without any, Amazon MQ takes those of the default VPC.
    if subnets and not body.get("publiclyAccessible") and not least <= len(subnets) <= most:
        return mq._err(400, "SubnetIds", f"{len(subnets)} subnets do not fit the deployment mode {mode}.")
    return None


def _instances(broker: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The instances of a broker: RabbitMQ has one endpoint for all of its nodes."""
    host, zone = broker["brokerId"], f"mq.{get_region()}.amazonaws.com"
    if broker["engineType"] == "RABBITMQ":
        hosts = [f"{host}.{zone}"]
    else:
        count = 2 if broker["deploymentMode"] == "ACTIVE_STANDBY_MULTI_AZ" else 1
        hosts = [f"{host}-{number + 1}.{zone}" for number in range(count)]
    ports = _ENDPOINTS[broker["engineType"]].values()
    console = ":8162" if broker["engineType"] == "ACTIVEMQ" else ""
    return [
        {
            "consoleURL": f"https://{name}{console}",
            "endpoints": [f"{scheme}://{name}:{port}" for scheme, port in ports],
            **({"ipAddress": f"10.0.{number}.10"} if console else {}),
        }
        for number, name in enumerate(hosts)
    ]


# --- CloudFormation

_broker = new_resource(_TYPE, replaced_by=_REPLACED)


@_broker.create
def _create(_logical_id: str, properties: Properties, _stack: str) -> Created:
    answer = _answer(mq._create_broker(_request(properties)))
    return answer["brokerId"], _attributes(answer["brokerId"])


@_broker.update
def _update(physical_id: str, _old: Properties, new: Properties, _stack: str) -> Created:
    _answer(mq._update_broker(physical_id, _request(new)))
    return physical_id, _attributes(physical_id)


@_broker.delete
def _delete(physical_id: str, _properties: Properties) -> None:
    if physical_id in mq._brokers:
        mq._delete_broker(physical_id)


def _request(properties: Properties) -> Properties:
    """The body of a request: members of the API begin with a lower-case letter."""
    body: Properties = _lowered({name: value for name, value in properties.items() if name != "Tags"})
    for name in ("publiclyAccessible", "autoMinorVersionUpgrade"):
        body[name] = str(body.get(name, name.startswith("auto"))).lower() == "true"
    body["tags"] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags") or ()}
    return body


def _lowered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _lowered(one) for name, one in value.items()}
    return [_lowered(one) for one in value] if isinstance(value, list) else value


def _answer(response: tuple[int, dict[str, str], bytes]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(response[2])
    if response[0] >= 400:
        raise ValueError(f"{_TYPE}: {answer['message']} ({answer['__type']})")
    return answer


def _attributes(broker_id: str) -> dict[str, Any]:
    broker = mq._brokers[broker_id]
    instances = broker["brokerInstances"]
    endpoints = [one for instance in instances for one in instance["endpoints"]]
    return {
        "Arn": broker["brokerArn"],
        "Id": broker_id,
        "ConsoleURLs": [one["consoleURL"] for one in instances],
        "EngineVersionCurrent": broker["engineVersion"],
        "IpAddresses": [one["ipAddress"] for one in instances if "ipAddress" in one],
        **{
            name: [one for one in endpoints if one.startswith(f"{scheme}://")]
            for name, (scheme, _port) in _ENDPOINTS[broker["engineType"]].items()
        },
    }
