"""What a template says about its architecture: its parts, how they are connected, and who may do what.

How a type of resource appears in the diagram is in two tables: `_SHAPES` has what is drawn as a box, `_EDGES`
the function that finds the connections of each resource of a type.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

# What is drawn, with the shape that Mermaid gives it.
_SHAPES = {
    "AWS::AmazonMQ::Broker": ("[/", "/]"),
    "AWS::ApiGateway::RestApi": ("([", "])"),
    "AWS::ApiGatewayV2::Api": ("([", "])"),
    "AWS::ApplicationAutoScaling::ScalableTarget": ("{{", "}}"),
    "AWS::S3::Bucket": ("[(", ")]"),
    "AWS::DynamoDB::GlobalTable": ("[(", ")]"),
    "AWS::DynamoDB::Table": ("[(", ")]"),
    "AWS::CloudFront::Distribution": ("([", "])"),
    "AWS::CloudFront::Function": (">", "]"),
    "AWS::CloudFront::KeyValueStore": ("[(", ")]"),
    "AWS::CloudWatch::Alarm": ("[/", "\\]"),
    "AWS::CloudWatch::CompositeAlarm": ("[/", "\\]"),
    "AWS::CodeDeploy::DeploymentGroup": ("{{", "}}"),
    "AWS::CodeGuruProfiler::ProfilingGroup": ("[(", ")]"),
    "AWS::Cognito::IdentityPool": ("{{", "}}"),
    "AWS::Cognito::UserPool": ("([", "])"),
    "AWS::Config::ConfigRule": (">", "]"),
    "AWS::EFS::AccessPoint": (">", "]"),
    "AWS::EFS::FileSystem": ("[(", ")]"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("([", "])"),
    "AWS::Events::Archive": ("[(", ")]"),
    "AWS::Events::EventBus": ("{{", "}}"),
    "AWS::Events::Rule": (">", "]"),
    "AWS::IoT::TopicRule": (">", "]"),
    "AWS::Lambda::Alias": (">", "]"),
    "AWS::Lambda::Function": ("[[", "]]"),
    "AWS::Lambda::LayerVersion": ("{{", "}}"),
    "AWS::Lambda::Url": ("([", "])"),
    "AWS::Kinesis::Stream": ("[\\", "\\]"),
    "AWS::KMS::Key": ("[/", "\\]"),
    "AWS::SecretsManager::Secret": ("[(", ")]"),
    "AWS::Signer::SigningProfile": (">", "]"),
    "AWS::Logs::LogGroup": ("[\\", "\\]"),  # only with a subscription filter
    "AWS::KinesisFirehose::DeliveryStream": ("[\\", "\\]"),
    "AWS::SNS::Topic": ("((", "))"),
    "AWS::SQS::Queue": ("[/", "/]"),
    "AWS::EC2::VPCEndpoint": ("{{", "}}"),
    "AWS::RDS::DBCluster": ("[(", ")]"),
    "AWS::RDS::DBInstance": ("[(", ")]"),
    "AWS::RDS::DBProxy": ("{{", "}}"),
    "AWS::SES::EmailIdentity": ("([", "])"),
    "AWS::SES::ReceiptRule": (">", "]"),
    "AWS::Scheduler::Schedule": (">", "]"),
    "AWS::StepFunctions::StateMachine": ("{{", "}}"),
}
# What is drawn only where something is connected to it.
_WHEN_CONNECTED = ("AWS::CloudWatch::Alarm", "AWS::KMS::Key", "AWS::SecretsManager::Secret")
# What is called by another name than its service.
_KINDS = {
    "AWS::AmazonMQ::Broker": "Amazon MQ",
    "AWS::ApiGateway::RestApi": "REST API",
    "AWS::ApiGatewayV2::Api": "HTTP API",
    "AWS::CloudFront::Function": "CloudFront Function",
    "AWS::CloudFront::KeyValueStore": "KeyValueStore",
    "AWS::ApplicationAutoScaling::ScalableTarget": "Application Auto Scaling",
    "AWS::CloudWatch::Alarm": "CloudWatch",
    "AWS::CloudWatch::CompositeAlarm": "CloudWatch",
    "AWS::Config::ConfigRule": "AWS Config",
    "AWS::CodeGuruProfiler::ProfilingGroup": "CodeGuru Profiler",
    "AWS::DynamoDB::GlobalTable": "DynamoDB global table",
    "AWS::EC2::VPCEndpoint": "VPC endpoint",
    "AWS::EFS::AccessPoint": "EFS access point",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "ALB",
    "AWS::Events::Archive": "EventBridge",
    "AWS::Events::EventBus": "EventBridge",
    "AWS::Events::Rule": "EventBridge",
    "AWS::IoT::TopicRule": "AWS IoT",
    "AWS::KinesisFirehose::DeliveryStream": "Firehose",
    "AWS::Lambda::Alias": "Lambda alias",
    "AWS::Lambda::LayerVersion": "Lambda layer",
    "AWS::Lambda::Url": "function URL",
    "AWS::Logs::LogGroup": "CloudWatch Logs",
    "AWS::RDS::DBProxy": "RDS Proxy",
    "AWS::Scheduler::Schedule": "EventBridge Scheduler",
    "AWS::SecretsManager::Secret": "Secrets Manager",
    "AWS::StepFunctions::StateMachine": "Step Functions",
}
# Where a construct's id begins a new word: FailureQueue, pre_traffic, 404Errors.
_WORDS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")
# Functions of the CDK's own custom resources: they run only during a deployment.
_PROVIDERS = ("Custom::", "BucketNotificationsHandler", "LogRetention", "AWS")


@dataclass(frozen=True)
class Permission:
    """One action that a role is allowed on one resource."""

    role: str
    action: str
    resource: str


class TemplateFacts:
    """A template whose resources carry the paths of their constructs.

    Args:
        template: The synthesised template, with path metadata.
    """

    def __init__(self, template: dict[str, Any]) -> None:
        self._resources: dict[str, dict[str, Any]] = template["Resources"]

    def path(self, logical_id: str) -> str:
        """The construct's path without the stack and without the L1's own ``Resource``."""
        path: str = self._resources[logical_id].get("Metadata", {}).get("aws:cdk:path", logical_id)
        parts = path.split("/")[1:] or [path]
        return "/".join(parts[:-1] if parts[-1] == "Resource" else parts)

    def resource(self, logical_id: str) -> dict[str, Any]:
        """A resource of the template; empty if it has none of that logical id."""
        return self._resources.get(logical_id, {})

    def members_of(self, group: object) -> Iterator[str]:
        """The logical ids of the resources in a security group, which is given as an expression."""
        for logical_id, resource in self._resources.items():
            value: Any = resource.get("Properties", {})
            for name in _SECURITY_GROUPS.get(resource["Type"], ("",)):
                value = value.get(name, {})
            if group is not None and group in (value or []):
                yield logical_id

    def resources(self) -> list[tuple[str, str, str]]:
        """Path, type, and what happens when the stack is deleted, for each resource."""
        return sorted(
            (self.path(logical_id), resource["Type"], resource.get("DeletionPolicy", "Delete").lower())
            for logical_id, resource in self._resources.items()
            if resource["Type"] != "AWS::CDK::Metadata"
        )

    def is_of_cdk(self, path: str) -> bool:
        """Whether a resource belongs to one of the CDK's own custom resources."""
        return path.startswith(_PROVIDERS)

    def permissions(self) -> list[Permission]:
        """Each action that each role of the stack is allowed."""
        return sorted(
            {
                Permission(self.path(role), action, self._describe(resource))
                for role, statement in self._statements()
                for action in _as_list(statement["Action"])
                for resource in _as_list(statement["Resource"])
            },
            key=lambda permission: (permission.role, permission.action, permission.resource),
        )

    def diagram(self) -> str:
        """The parts and their connections as a Mermaid flow chart."""
        lines = ["flowchart LR"]
        edges = list(self._edges())
        connected = {end for edge in edges for end in (edge.source, edge.target)}
        for logical_id in self._drawn():
            resource_type = self._resources[logical_id]["Type"]
            if logical_id in connected or resource_type not in _WHEN_CONNECTED:
                opening, closing = _SHAPES[resource_type]
                lines.append(f'    {logical_id}{opening}"{self.name(logical_id)}"{closing}')
        for number, functions in enumerate(self._images(), 1):
            lines.append(f'    Image{number}[("Container image {number} (ECR)")]')
            lines += [f"    {Edge(f'Image{number}', '==>', function)}" for function in functions]
        lines += [f"    {edge}" for edge in edges]
        return "\n".join(lines)

    def _images(self) -> list[list[str]]:
        """The functions from each container image, which no resource of the template stands for."""
        found: dict[str, list[str]] = {}
        for function, properties in self.of_type("AWS::Lambda::Function"):
            if uri := properties.get("Code", {}).get("ImageUri"):
                found.setdefault(str(uri), []).append(function)
        return list(found.values())

    def name(self, logical_id: str) -> str:
        """What a resource is for and which service it is, for people: `Standard dead-letter queue (SQS)`."""
        path: str = self._resources[logical_id].get("Metadata", {}).get("aws:cdk:path", logical_id)
        stack, *parts = path.removesuffix("/Resource").split("/")
        resource_type = self._resources[logical_id]["Type"]
        service = _KINDS.get(resource_type, resource_type.split("::")[1])
        # An id that says no more than its type, as Function does, needs the name of the stack.
        ids = [stack, *parts] if "::".join(parts) in resource_type else parts
        words = [word for part in ids for word in _WORDS.findall(part)]
        words = [word if word.isupper() else word.lower() for word in words]
        distinct = [word for number, word in enumerate(words) if words[number - 1 : number] != [word]]
        text = " ".join(distinct).replace("dead letter", "dead-letter").replace(" url", " URL")
        return f"{text[:1].upper()}{text[1:]} ({service})"

    def gateways_of(self, subnets: list[Any]) -> Iterator[str]:
        """The gateway endpoints that the route tables of some subnets lead to."""
        tables = [
            association["RouteTableId"]
            for _, association in self.of_type("AWS::EC2::SubnetRouteTableAssociation")
            if association["SubnetId"] in subnets
        ]
        for logical_id, properties in self.of_type("AWS::EC2::VPCEndpoint"):
            if any(table in tables for table in properties.get("RouteTableIds", [])):
                yield logical_id

    def of_type(self, resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The logical id and the properties of each resource of a type."""
        for logical_id, resource in self._resources.items():
            if resource["Type"] == resource_type:
                yield logical_id, resource.get("Properties", {})

    def _drawn(self) -> list[str]:
        filters = self.of_type("AWS::Logs::SubscriptionFilter")
        subscribed = {_referred(properties["LogGroupName"]) for _, properties in filters}
        return [
            logical_id
            for logical_id, resource in self._resources.items()
            if resource["Type"] in _SHAPES
            and not self.is_of_cdk(self.path(logical_id))
            and not (resource["Type"] == "AWS::Events::Rule" and self.sources_of_rule(resource["Properties"]))
            and not (resource["Type"] == "AWS::Logs::LogGroup" and logical_id not in subscribed)
        ]

    def sources_of_rule(self, rule: dict[str, Any]) -> list[tuple[str, str, str]]:
        """The bus or buckets whose events a rule is for, with arrow and words; none on the default bus."""
        bus = _referred(rule.get("EventBusName"))
        buckets = rule.get("EventPattern", {}).get("detail", {}).get("bucket", {}).get("name", [])
        named = [(_referred(bucket), "-->", "EventBridge") for bucket in buckets]
        return [(bus, "==>", "")] if bus else named

    def _edges(self) -> Iterator["Edge"]:
        drawn = set(self._drawn())
        for resource_type, edges_of in _EDGES.items():
            for logical_id, resource in self._resources.items():
                if resource["Type"] == resource_type:
                    for edge in edges_of(self, logical_id, resource.get("Properties", {})):
                        if {edge.source, edge.target} <= drawn:
                            yield edge

    def actions_of(self, role: str) -> dict[str, list[str]]:
        """The actions of a role, without the prefix of the service, by the logical id of their resource."""
        targets: dict[str, list[str]] = {}
        for holder, statement in self._statements():
            if holder == role:
                for resource in _as_list(statement["Resource"]):
                    actions = [action.split(":")[1] for action in _as_list(statement["Action"])]
                    targets.setdefault(_referred_in_arn(resource), []).extend(actions)
        return targets

    def _statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for _, properties in self.of_type("AWS::IAM::Policy"):
            for role in properties["Roles"]:
                for statement in properties["PolicyDocument"]["Statement"]:
                    yield _referred(role), statement
        for logical_id, properties in self.of_type("AWS::IAM::Role"):
            for policy in properties.get("Policies", []):
                for statement in policy["PolicyDocument"]["Statement"]:
                    yield logical_id, statement

    def _describe(self, value: Any) -> str:
        match value:
            case {"Ref": name} | {"Fn::GetAtt": [name, _]}:
                return self.path(name) if name in self._resources else f"<{name}>"
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(map(self._describe, parts))
            case {"Fn::Select": [_, {"Fn::Split": [_, whole]}]}:
                return self._describe(whole)
            case {"Fn::Sub": str(text)}:
                return text
            case _:
                return str(value)


class Edge(NamedTuple):
    """A connection of two resources, by their logical ids, with Mermaid's arrow and what is written on it."""

    source: str
    arrow: str
    target: str
    words: str = ""

    def __str__(self) -> str:
        """The line of the flow chart. In quotes, words may have parentheses."""
        written = '|"{}"|'.format(self.words.replace('"', "#quot;")) if self.words else ""
        return f"{self.source} {self.arrow}{written} {self.target}"


def _calls(facts: TemplateFacts, function: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A function and what its role lets it use, other than where Lambda reads and sends events for it."""
    by_lambda = {
        end
        for resource_type in ("AWS::Lambda::EventSourceMapping", "AWS::Lambda::EventInvokeConfig")
        for logical_id, of_function in facts.of_type(resource_type)
        if _referred(of_function["FunctionName"]) == function
        for edge in _EDGES[resource_type](facts, logical_id, of_function)
        for end in (edge.source, edge.target)
        if end != function  # which may invoke itself
    }
    yield Edge(_referred(properties.get("KmsKeyArn")), "-.->", function, "encrypts variables")
    yield Edge(_referred(properties.get("Code", {}).get("S3Bucket")), "-->", function, "code")
    for target, actions in facts.actions_of(_referred(properties["Role"])).items():
        if target not in by_lambda:
            yield Edge(function, "-->", target, ", ".join(dict.fromkeys(actions)))
    for mount in properties.get("FileSystemConfigs", []):
        yield Edge(function, "==>", _named_in(mount["Arn"]), f"mounts at {mount['LocalMountPath']}")
    for layer in properties.get("Layers", []):
        yield Edge(function, "-->", _referred(layer), "layer")
    for endpoint in facts.gateways_of(properties.get("VpcConfig", {}).get("SubnetIds", [])):
        yield Edge(function, "==>", endpoint, "route")


def _notifications(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A bucket, and the functions and topics that it notifies; each event is named once for all filters."""
    events: dict[str, dict[str, None]] = {}
    given = properties["NotificationConfiguration"]
    for configuration in (
        *given.get("LambdaFunctionConfigurations", []),
        *given.get("TopicConfigurations", []),
    ):
        arn = configuration.get("LambdaFunctionArn") or configuration["TopicArn"]
        names = events.setdefault(_referred(arn), {})
        names.update(
            (event.removeprefix("s3:").removesuffix(":*"), None) for event in configuration["Events"]
        )
    for notified, names in events.items():
        yield Edge(_referred(properties["BucketName"]), "-->", notified, ", ".join(names))


def _alias(facts: TemplateFacts, alias: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """An alias, the versions that it points to, and the CodeDeploy group that shifts it."""
    words = _version(properties["FunctionVersion"])
    for other in properties.get("RoutingConfig", {}).get("AdditionalVersionWeights", []):
        words += f", {_version(other['FunctionVersion'])}: {other['FunctionWeight']:g}"
    yield Edge(alias, "-->", _referred(properties["FunctionName"]), words)
    update = facts.resource(alias).get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
    group = _referred(update.get("DeploymentGroupName"))
    yield Edge(group, "-.->", alias, "shifts")
    hooks = {"BeforeAllowTrafficHook": "before traffic", "AfterAllowTrafficHook": "after traffic"}
    for hook, when in hooks.items():
        yield Edge(group, "-.->", _referred(update.get(hook)), when)


def _scalable_target(facts: TemplateFacts, target: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A scalable target, and the alias whose provisioned concurrency it is."""
    words = f"{properties['MinCapacity']} to {properties['MaxCapacity']}"
    scheduled = len(properties.get("ScheduledActions", []))
    words += f", {scheduled} scheduled actions" if scheduled else ""
    for alias, _ in facts.of_type("AWS::Lambda::Alias"):
        if f'"{alias}"' in json.dumps(properties["ResourceId"]):
            yield Edge(target, "-.->", alias, words)


def _url(facts: TemplateFacts, url: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A function URL, and the alias or function that it invokes."""
    function, qualifier = _referred(properties["TargetFunctionArn"]), properties.get("Qualifier")
    aliases = [
        alias
        for alias, other in facts.of_type("AWS::Lambda::Alias")
        if other["Name"] == qualifier and _referred(other["FunctionName"]) == function
    ]
    yield Edge(url, "==>", next(iter(aliases), function), f"HTTPS, {properties['AuthType']}")


def _version(version: object) -> str:
    """A version by its number, or the one that this template publishes."""
    return f"version {version}" if isinstance(version, str) else "newest version"


def _alarms(_: TemplateFacts, group: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A CodeDeploy group and the alarms that stop its deployments."""
    for alarm in properties.get("AlarmConfiguration", {}).get("Alarms", []):
        yield Edge(_referred(alarm["Name"]), "-.->", group, "stops")


def _watched(alarm: dict[str, Any]) -> Iterator[str]:
    """The resources whose metrics an alarm watches."""
    stats = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", []) if "MetricStat" in one]
    for metric in stats or [alarm]:
        yield from (_referred(dimension["Value"]) for dimension in metric.get("Dimensions", []))


def _alarm(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """What an alarm with actions of its own watches, and the topics that it notifies."""
    for topic in properties.get("AlarmActions", []):
        for resource in dict.fromkeys(_watched(properties)):
            yield Edge(resource, "-.->", _referred(topic), "alarm")


def _composite_alarm(facts: TemplateFacts, composite: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """What the alarms of a composite alarm watch, and the topics that it notifies."""
    rule, alarms = str(properties["AlarmRule"]), dict(facts.of_type("AWS::CloudWatch::Alarm"))
    watched = [one for alarm in alarms if f"['{alarm}'" in rule for one in _watched(alarms[alarm])]
    for resource in dict.fromkeys(watched):
        yield Edge(resource, "-.->", composite, "alarms")
    for topic in properties.get("AlarmActions", []):
        yield Edge(composite, "==>", _referred(topic))


def _api(facts: TemplateFacts, api: str, _: dict[str, Any]) -> Iterator[Edge]:
    """An API, the functions that it may invoke, and the user pools whose tokens it takes."""
    called: dict[str, str] = {}
    for _id, permission in facts.of_type("AWS::Lambda::Permission"):
        source = str(permission.get("SourceArn"))
        if f"'Ref': '{api}'" in source:
            is_authorizer = "/authorizers/" in source
            called[_referred(permission["FunctionName"])] = "authorizer" if is_authorizer else ""
    for function, words in called.items():
        yield Edge(api, "-.->" if words else "==>", function, words)
    for resource_type, field in (
        ("AWS::ApiGatewayV2::Authorizer", "JwtConfiguration"),
        ("AWS::ApiGateway::Authorizer", "ProviderARNs"),
    ):
        for _id, authorizer in facts.of_type(resource_type):
            of_api = _referred(authorizer.get("ApiId") or authorizer.get("RestApiId"))
            for pool, _properties in facts.of_type("AWS::Cognito::UserPool"):
                if of_api == api and f"'{pool}'" in str(authorizer.get(field)):
                    yield Edge(pool, "-.->", api, "tokens")


def _listener(facts: TemplateFacts, _: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A load balancer and the functions that a listener forwards to."""
    words = f"{properties['Protocol']} {properties['Port']}"
    for action in properties["DefaultActions"]:
        group = facts.resource(_referred(action.get("TargetGroupArn"))).get("Properties", {})
        for target in group.get("Targets", []):
            yield Edge(_referred(properties["LoadBalancerArn"]), "==>", _referred(target["Id"]), words)


def _poll(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A queue or stream, the function that Lambda invokes with its messages, and where failures go."""
    function = _referred(properties["FunctionName"])
    yield Edge(_referred(properties["EventSourceArn"]), "==>", function)
    failures = properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    yield Edge(function, "-.->", _referred(failures), "on failure")


def _rule(facts: TemplateFacts, rule: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """Where the events of a rule come from, its targets, and the queues for what it cannot deliver."""
    sources = facts.sources_of_rule(properties)
    for target in properties["Targets"]:
        for source, arrow, words in sources or [(rule, "-->", ", ".join(_detail_types(properties)))]:
            yield Edge(source, arrow, _referred(target["Arn"]), words)
            if dead_letters := target.get("DeadLetterConfig"):
                yield Edge(source, "-.->", _referred(dead_letters["Arn"]), "undelivered")


def _detail_types(rule: dict[str, Any]) -> list[str]:
    types: list[str] = rule.get("EventPattern", {}).get("detail-type", [])
    return types


def _archive(_: TemplateFacts, archive: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A bus and its archive, which sends to the bus again."""
    yield Edge(_referred(properties["SourceArn"]), "-->", archive)
    yield Edge(archive, "-.->", _referred(properties["SourceArn"]), "replay")


def _delivery_stream(_: TemplateFacts, stream: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """From a delivery stream to its function, and to the buckets that get data and originals."""
    destination = properties["ExtendedS3DestinationConfiguration"]
    for processor in destination["ProcessingConfiguration"]["Processors"]:
        for parameter in processor["Parameters"]:
            if parameter["ParameterName"] == "LambdaArn":
                yield Edge(stream, "-->", _referred(parameter["ParameterValue"]), "batches")
    yield Edge(stream, "==>", _referred(destination["BucketARN"]), "data, errors")
    if backup := destination.get("S3BackupConfiguration"):
        yield Edge(stream, "-->", _referred(backup["BucketARN"]), "originals")


def _event_subscription(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """The databases whose events RDS publishes, and the topic."""
    for source in properties.get("SourceIds", []):
        yield Edge(_referred(source), "-->", _referred(properties["SnsTopicArn"]), "events")


def _schedule(_: TemplateFacts, schedule: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A schedule, its target, and its dead-letter queue."""
    target = properties["Target"]
    yield Edge(schedule, "-->", _referred(target["Arn"]), properties["ScheduleExpression"])
    if dead_letters := target.get("DeadLetterConfig"):
        yield Edge(schedule, "-.->", _referred(dead_letters["Arn"]), "undelivered")


def _state_machine(facts: TemplateFacts, machine: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """The APIs that start a state machine, and what its role lets it use; it may call an API in turn."""
    for resource_type, field in (
        ("AWS::ApiGateway::Method", "RestApiId"),
        ("AWS::ApiGatewayV2::Integration", "ApiId"),
    ):
        for _id, integration in facts.of_type(resource_type):
            if f"'Ref': '{machine}'" in str(integration):
                yield Edge(_referred(integration[field]), "==>", machine)
    for target, actions in facts.actions_of(_referred(properties["RoleArn"])).items():
        yield Edge(machine, "-->", target, ", ".join(dict.fromkeys(actions)))


def _triggers(_: TemplateFacts, pool: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A user pool and the functions of its triggers."""
    for trigger, function in properties.get("LambdaConfig", {}).items():
        arn = function.get("LambdaArn", function)  # of a trigger with versions
        words = " ".join(_WORDS.findall(trigger.removesuffix("Config"))).lower()
        yield Edge(pool, "-->", _referred(arn), words)


def _identities(_: TemplateFacts, pool: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """An identity pool and the user pools whose tokens it takes."""
    for provider in properties.get("CognitoIdentityProviders", []):
        yield Edge(_named_in(provider["ProviderName"]), "-.->", pool, "tokens")


def _identity_roles(facts: TemplateFacts, _: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """An identity pool and what the credentials that it gives are good for."""
    for role in properties.get("Roles", {}).values():
        for target, actions in facts.actions_of(_referred(role)).items():
            words = f"credentials for {', '.join(dict.fromkeys(actions))}"
            yield Edge(_referred(properties["IdentityPoolId"]), "-->", target, words)


def _subscription(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A topic, its subscriber, and the queue for what it cannot deliver."""
    topic = _referred(properties["TopicArn"])
    yield Edge(topic, "==>", _referred(properties["Endpoint"]))
    undelivered = properties.get("RedrivePolicy", {}).get("deadLetterTargetArn")
    yield Edge(topic, "-.->", _referred(undelivered), "undelivered")


def _subscription_filter(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A log group, and what gets those of its events that match a pattern."""
    target = _referred(properties["DestinationArn"])
    yield Edge(_referred(properties["LogGroupName"]), "==>", target, properties["FilterPattern"])


def _dead_letters(_: TemplateFacts, queue: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A queue and its dead-letter queue."""
    target = _referred(properties.get("RedrivePolicy", {}).get("deadLetterTargetArn"))
    yield Edge(queue, "-.->", target, "dead letters")


def _destinations(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A function and the destinations of its asynchronous invocations."""
    for outcome, destination in properties.get("DestinationConfig", {}).items():
        words = {"OnFailure": "on failure", "OnSuccess": "on success"}[outcome]
        source, target = _referred(properties["FunctionName"]), _referred(destination["Destination"])
        yield Edge(source, "-.->", target, words)


def _ingress(facts: TemplateFacts, _: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """The members of two security groups of which one lets the other in."""
    words = f"TCP {properties['FromPort']}" if isinstance(properties["FromPort"], int) else "its TCP port"
    for source in facts.members_of(properties.get("SourceSecurityGroupId")):
        for target in facts.members_of(properties["GroupId"]):
            if target != source:
                yield Edge(source, "==>", target, words)


def _batch_job(facts: TemplateFacts, role: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """The bucket whose manifests list the tasks of S3 Batch Operations, the function, and the reports.

    A job is no resource, but its role may read the manifests and invoke the function.
    """
    if "batchoperations.s3.amazonaws.com" not in str(properties["AssumeRolePolicyDocument"]):
        return
    targets = facts.actions_of(role)
    functions = [target for target, actions in targets.items() if "InvokeFunction" in actions]
    for bucket, actions in targets.items():
        if "GetObject" in actions:
            yield from (Edge(bucket, "==>", function, "job") for function in functions)
        if "PutObject" in actions:
            yield from (Edge(function, "-.->", bucket, "report") for function in functions)


def _config_rule(_: TemplateFacts, rule: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A rule of AWS Config and its function."""
    yield Edge(rule, "-->", _referred(properties["Source"].get("SourceIdentifier")), "evaluate")


def _topic_rule(_: TemplateFacts, rule: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A rule of AWS IoT, the functions that it invokes, and the queue for what it cannot deliver."""
    payload = properties["TopicRulePayload"]
    for action in payload["Actions"]:
        yield Edge(rule, "-->", _referred(action.get("Lambda", {}).get("FunctionArn")), "messages")
    failed = payload.get("ErrorAction", {}).get("Sqs", {}).get("QueueUrl")
    yield Edge(rule, "-.->", _referred(failed), "undelivered")


def _receipt_rule(_: TemplateFacts, rule: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A receipt rule of SES, and its functions and buckets, in the order of its actions."""
    for number, action in enumerate(properties["Rule"]["Actions"], 1):
        found = action.get("LambdaAction", {}).get("FunctionArn") or action.get("S3Action", {}).get(
            "BucketName"
        )
        yield Edge(rule, "-->", _referred(found), f"action {number}")


def _database(facts: TemplateFacts, database: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A database, and what its role for the feature Lambda lets its SQL invoke."""
    for role in properties.get("AssociatedRoles", []):
        for target, actions in facts.actions_of(_referred(role["RoleArn"])).items():
            yield Edge(database, "-->", target, ", ".join(dict.fromkeys(actions)))


def _access_point(_: TemplateFacts, point: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """An access point and its file system."""
    yield Edge(point, "-->", _referred(properties["FileSystemId"]), "directory")


def _distribution(facts: TemplateFacts, distribution: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A distribution, the functions of its behaviors, and its origins with the paths that lead to them."""
    config = properties["DistributionConfig"]
    behaviors = [("*", config["DefaultCacheBehavior"])]
    behaviors += [(one["PathPattern"], one) for one in config.get("CacheBehaviors", [])]
    functions: dict[tuple[str, str], list[str]] = {}
    for pattern, behavior in behaviors:
        for association in behavior.get("FunctionAssociations", []):
            key = (_referred(association["FunctionARN"]), association["EventType"].replace("-", " "))
            functions.setdefault(key, []).append(pattern)
        for association in behavior.get("LambdaFunctionAssociations", []):
            version = facts.resource(_referred(association["LambdaFunctionARN"])).get("Properties", {})
            key = (_referred(version.get("FunctionName")), association["EventType"].replace("-", " "))
            functions.setdefault(key, []).append(pattern)
    for (function, event), patterns in functions.items():
        yield Edge(distribution, "-->", function, f"{event}: {', '.join(patterns)}")
    origins: dict[str, list[str]] = {}
    for origin in config["Origins"]:
        mine = [pattern for pattern, one in behaviors if one["TargetOriginId"] == origin["Id"]]
        origins.setdefault(_origin(origin["DomainName"]), []).extend(mine)
    for target, patterns in origins.items():
        yield Edge(distribution, "==>", target, ", ".join(patterns))


def _origin(domain_name: Any) -> str:
    """The bucket, function URL or API that a domain name is taken from."""
    match domain_name:
        case {"Fn::Select": [_, {"Fn::Split": [_, whole]}]}:
            return _origin(whole)
        case _:
            return _named_in(domain_name)


def _edge_function(_: TemplateFacts, function: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A CloudFront function and its key value store."""
    for association in properties["FunctionConfig"].get("KeyValueStoreAssociations", []):
        yield Edge(function, "-->", _referred(association["KeyValueStoreARN"]), "reads")


# How the connections of a resource are found, by its type, in the order in which a diagram lists them.
_EDGES: Mapping[str, Callable[[TemplateFacts, str, dict[str, Any]], Iterator[Edge]]] = {
    "Custom::S3BucketNotifications": _notifications,
    "AWS::Lambda::Function": _calls,
    "AWS::Lambda::Alias": _alias,
    "AWS::ApplicationAutoScaling::ScalableTarget": _scalable_target,
    "AWS::ApiGateway::RestApi": _api,
    "AWS::ApiGatewayV2::Api": _api,
    "AWS::CloudFront::Distribution": _distribution,
    "AWS::CloudFront::Function": _edge_function,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::CompositeAlarm": _composite_alarm,
    "AWS::CodeDeploy::DeploymentGroup": _alarms,
    "AWS::Cognito::IdentityPool": _identities,
    "AWS::Cognito::IdentityPoolRoleAttachment": _identity_roles,
    "AWS::Cognito::UserPool": _triggers,
    "AWS::EFS::AccessPoint": _access_point,
    "AWS::ElasticLoadBalancingV2::Listener": _listener,
    "AWS::KinesisFirehose::DeliveryStream": _delivery_stream,
    "AWS::Lambda::EventSourceMapping": _poll,
    "AWS::Lambda::Url": _url,
    "AWS::Events::Archive": _archive,
    "AWS::Events::Rule": _rule,
    "AWS::RDS::DBCluster": _database,
    "AWS::RDS::DBInstance": _database,
    "AWS::RDS::EventSubscription": _event_subscription,
    "AWS::IAM::Role": _batch_job,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::StepFunctions::StateMachine": _state_machine,
    "AWS::Logs::SubscriptionFilter": _subscription_filter,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SQS::Queue": _dead_letters,
    "AWS::Lambda::EventInvokeConfig": _destinations,
    "AWS::EC2::SecurityGroupIngress": _ingress,
    "AWS::Config::ConfigRule": _config_rule,
    "AWS::IoT::TopicRule": _topic_rule,
    "AWS::SES::ReceiptRule": _receipt_rule,
}

# Where a resource names the security groups that it is in.
_SECURITY_GROUPS = {
    "AWS::AmazonMQ::Broker": ("SecurityGroups",),
    "AWS::EC2::VPCEndpoint": ("SecurityGroupIds",),
    "AWS::Lambda::Function": ("VpcConfig", "SecurityGroupIds"),
    "AWS::RDS::DBCluster": ("VpcSecurityGroupIds",),
    "AWS::RDS::DBInstance": ("VPCSecurityGroups",),
    "AWS::RDS::DBProxy": ("VpcSecurityGroupIds",),
}


def _referred(value: Any) -> str:
    """The logical id that an expression refers to, or an empty string."""
    match value:
        case {"Ref": name} | {"Fn::GetAtt": [name, _]}:
            return str(name)
        case {"Fn::Join": [_, [first, *_]]}:
            return _referred(first)
        case _:
            return ""


def _referred_in_arn(arn: Any) -> str:
    """The logical id that an ARN refers to: it is or begins with one, or is of a route or an identity."""
    match arn:
        case {"Fn::Join": ["", parts]} if any(
            "execute-api" in str(one) or ":ses:" in str(one) for one in parts
        ):
            return _named_in(arn)
        case _:
            return _referred(arn)


def _named_in(arn: Any) -> str:
    """The first logical id in an ARN, other than a pseudo parameter."""
    match arn:
        case {"Fn::Join": ["", [*parts]]}:
            return next((name for part in parts if (name := _referred(part)) and "::" not in name), "")
        case _:
            return _referred(arn)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
