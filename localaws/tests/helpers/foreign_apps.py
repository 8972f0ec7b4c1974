"""CDK apps that are not ours, in `tests/apps`: how one is deployed and driven, and what is left then."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest

from helpers.http import Endpoint, HttpResponse
from localaws import Deployment, LocalAws

APPS = Path(__file__).parent.parent / "apps"
NAMES = sorted(path.parent.name for path in APPS.glob("*/app.py"))


def driver_of(name: str) -> ModuleType:
    """Return the module that drives an app: `drive(app)`, and what has to be there before."""
    pytest.register_assert_rewrite(f"apps.{name}")
    return importlib.import_module(f"apps.{name}.drive")


class App:
    """An app that is deployed; what `localaws.Deployment` has, it has, too.

    Args:
        aws: The embedded AWS.
        name: The folder of the app.
        deployment: How it is deployed already, perhaps with others.
        stacks: Its stacks in that deployment. By default all of them.
    """

    def __init__(
        self,
        aws: LocalAws,
        name: str,
        deployment: Deployment | None = None,
        stacks: Iterable[str] | None = None,
    ) -> None:
        self.aws, self._name, self._deployment, self._own = aws, name, deployment, stacks

    @property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of its stacks."""
        return {key: value for name in self._own or self.stacks for key, value in self.stacks[name].items()}

    def deploy(self, **options: Any) -> None:
        """Deploy it as its author does, with `cdk.json` as `cdk init` writes it, perhaps once more."""
        command = f"cd {self._name} && {shlex.quote(sys.executable)} app.py"
        self._deployment = self.aws.deploy(command, folder=APPS, **options)

    def __getattr__(self, name: str) -> Any:
        if self._deployment is None:
            raise AttributeError(f"{name}: {self._name} is not deployed")
        return getattr(self._deployment, name)

    def request(
        self, method: str, url: str, *, json_body: Any = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """Send a request to the public URL of an API, a function, a load balancer or a distribution."""
        parts = urlsplit(url)
        name = parts.netloc
        if ".execute-api." in name:
            address = self.aws.address_of_api(name.partition(".")[0])
        elif ".lambda-url." in name:
            address = self.aws.address_of_function_url(f"https://{name}/")
        else:
            address = self.aws.address_of_load_balancer(name)
            name += ":80" if parts.scheme == "http" else ""
        lines = dict(headers or {})
        body = b""
        if json_body is not None:
            lines.setdefault("Content-Type", "application/json")
            body = json.dumps(json_body).encode()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Endpoint.of(address, name).request(method, target, headers=lines.items(), body=body)


def received(sqs: Any, url: str) -> list[str]:
    """Take all messages that a queue has now, and return their bodies."""
    bodies: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            bodies.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return bodies


def inventory(aws: LocalAws) -> set[str]:
    """Return what the account has, whatever made it; but not log groups of functions, which AWS retains."""
    return {f"{kind}: {name}" for kind, names in _listed(aws) for name in names}


def _listed(aws: LocalAws) -> Iterable[tuple[str, list[str]]]:
    for kind, service, operation, key, name in _LISTS:
        answer = getattr(aws.client(service), operation)()
        found = answer.get(key, [])
        yield kind, [name(one) for one in found]
    groups = aws.client("logs").describe_log_groups()["logGroups"]
    names = [group["logGroupName"] for group in groups]
    yield "log group", [name for name in names if not name.startswith(_KEPT_LOGS)]
    gateways = aws.client("ec2").describe_nat_gateways()["NatGateways"]
    yield "NAT gateway", [each["NatGatewayId"] for each in gateways if each["State"] != "deleted"]
    keys = aws.client("kms")
    states = [keys.describe_key(KeyId=each["KeyId"])["KeyMetadata"] for each in keys.list_keys()["Keys"]]
    yield (
        "key",
        [
            each["Arn"]
            for each in states
            if each["KeyState"] == "Enabled" and each["KeyManager"] == "CUSTOMER"
        ],
    )


# What services make themselves when something first happens, and no stack owns.
_KEPT_LOGS = ("/aws/lambda/", "/aws/rds/", "API-Gateway-Execution-Logs_")


def _of(key: str) -> Callable[[Any], str]:
    return lambda one: str(one[key])


def _itself(one: Any) -> str:
    return str(one)


_LISTS: list[tuple[str, str, str, str, Callable[[Any], str]]] = [
    ("alarm", "cloudwatch", "describe_alarms", "MetricAlarms", _of("AlarmName")),
    ("API", "apigateway", "get_rest_apis", "items", _of("id")),
    ("HTTP API", "apigatewayv2", "get_apis", "Items", _of("ApiId")),
    ("bucket", "s3", "list_buckets", "Buckets", _of("Name")),
    ("dashboard", "cloudwatch", "list_dashboards", "DashboardEntries", _of("DashboardName")),
    ("database", "rds", "describe_db_instances", "DBInstances", _of("DBInstanceIdentifier")),
    ("DB subnet group", "rds", "describe_db_subnet_groups", "DBSubnetGroups", _of("DBSubnetGroupName")),
    ("event archive", "events", "list_archives", "Archives", _of("ArchiveName")),
    ("event bus", "events", "list_event_buses", "EventBuses", _of("Name")),
    ("event source mapping", "lambda", "list_event_source_mappings", "EventSourceMappings", _of("UUID")),
    ("export", "cloudformation", "list_exports", "Exports", _of("Name")),
    ("function", "lambda", "list_functions", "Functions", _of("FunctionName")),
    ("layer", "lambda", "list_layers", "Layers", _of("LayerName")),
    ("load balancer", "elbv2", "describe_load_balancers", "LoadBalancers", _of("LoadBalancerArn")),
    (
        "network interface",
        "ec2",
        "describe_network_interfaces",
        "NetworkInterfaces",
        _of("NetworkInterfaceId"),
    ),
    ("parameter", "ssm", "describe_parameters", "Parameters", _of("Name")),
    ("queue", "sqs", "list_queues", "QueueUrls", _itself),
    ("role", "iam", "list_roles", "Roles", _of("RoleName")),
    ("rule", "events", "list_rules", "Rules", _of("Name")),
    ("schedule", "scheduler", "list_schedules", "Schedules", _of("Name")),
    ("schedule group", "scheduler", "list_schedule_groups", "ScheduleGroups", _of("Name")),
    ("secret", "secretsmanager", "list_secrets", "SecretList", _of("ARN")),
    ("security group", "ec2", "describe_security_groups", "SecurityGroups", _of("GroupId")),
    ("state machine", "stepfunctions", "list_state_machines", "stateMachines", _of("stateMachineArn")),
    ("stream", "kinesis", "list_streams", "StreamNames", _itself),
    ("subnet", "ec2", "describe_subnets", "Subnets", _of("SubnetId")),
    ("subscription", "sns", "list_subscriptions", "Subscriptions", _of("SubscriptionArn")),
    ("table", "dynamodb", "list_tables", "TableNames", _itself),
    ("target group", "elbv2", "describe_target_groups", "TargetGroups", _of("TargetGroupArn")),
    ("topic", "sns", "list_topics", "Topics", _of("TopicArn")),
    ("VPC", "ec2", "describe_vpcs", "Vpcs", _of("VpcId")),
]
