"""What a template says about its architecture: its parts, how they are connected, and who may do what.

`KINDS` (in `tasks/pictures`) has the types of the resources that a picture shows, and `_EDGES` the function
that finds the connections of each resource of a type.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tasks.pictures.kinds import KINDS, verbs

# Words of a trigger's name: PreSignUp.
_WORDS = re.compile(r"[A-Z]?[a-z]+")
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
        self.template = template
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

    def type_of(self, logical_id: str) -> str:
        """The type of a resource."""
        return str(self._resources[logical_id]["Type"])

    def images(self) -> list[list[str]]:
        """The functions from each container image, which no resource of the template stands for."""
        found: dict[str, list[str]] = {}
        for function, properties in self.of_type("AWS::Lambda::Function"):
            if uri := properties.get("Code", {}).get("ImageUri"):
                found.setdefault(str(uri), []).append(function)
        return list(found.values())

    def run_by_deployments(self) -> Iterator[str]:
        """The functions that CloudFormation invokes: as custom resources, or by a trigger of the CDK."""
        for resource in self._resources.values():
            given = resource.get("Properties", {})
            if resource["Type"] == "Custom::Trigger":
                version = self.resource(_referred(given["HandlerArn"])).get("Properties", {})
                yield _referred(version.get("FunctionName"))
            elif "ServiceToken" in given:
                yield _referred(given["ServiceToken"])

    def network_of(self, logical_id: str) -> str:
        """The logical id of the VPC that a resource is in, or an empty string."""
        resource_type = self.type_of(logical_id)
        if resource_type == "AWS::EFS::FileSystem":
            targets = self.of_type("AWS::EFS::MountTarget")
            found = [one for one, target in targets if _referred(target["FileSystemId"]) == logical_id]
            return self.network_of(found[0]) if found else ""
        if resource_type == "AWS::EFS::AccessPoint":
            return self.network_of(_referred(self._resources[logical_id]["Properties"]["FileSystemId"]))
        for name, value in self._resources[logical_id].get("Properties", {}).items():
            if name == "VpcId":
                return _referred(value)
            if name.lower().startswith(("vpc", "subnet", "securitygroup", "dbsubnetgroup")):
                for other in _all_referred(value):
                    if other in self._resources and (network := self.network_of(other)):
                        return network
        return ""

    def title_of(self, network: str) -> str:
        """What a VPC is: one without a gateway to the internet is isolated."""
        gateways = self.of_type("AWS::EC2::VPCGatewayAttachment")
        is_public = any(_referred(gateway["VpcId"]) == network for _, gateway in gateways)
        return "VPC" if is_public else "VPC, isolated subnets"

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

    def drawn(self) -> list[str]:
        """The logical ids of what a picture may show."""
        filters = self.of_type("AWS::Logs::SubscriptionFilter")
        subscribed = {_referred(properties["LogGroupName"]) for _, properties in filters}
        return [
            logical_id
            for logical_id, resource in self._resources.items()
            if resource["Type"] in KINDS
            and not self.is_of_cdk(self.path(logical_id))
            and not (resource["Type"] == "AWS::Events::Rule" and self.sources_of_rule(resource["Properties"]))
            and not (resource["Type"] == "AWS::Logs::LogGroup" and logical_id not in subscribed)
        ]

    def sources_of_rule(self, rule: dict[str, Any]) -> list[tuple[str, str, str]]:
        """The bus or buckets whose events a rule is for, with arrow and words; none on the default bus."""
        bus = _referred(rule.get("EventBusName"))
        buckets = rule.get("EventPattern", {}).get("detail", {}).get("bucket", {}).get("name", [])
        named = [(_referred(bucket), "==>", "object events, by EventBridge") for bucket in buckets]
        return [(bus, "==>", "")] if bus else named

    def edges(self) -> Iterator["Edge"]:
        """How what is drawn is connected."""
        drawn = set(self.drawn())
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
            case {"Fn::Join": ["", [*_, ":table/", {"Ref": name}]]}:
                return self._describe({"Ref": name})
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(map(self._describe, parts))
            case {"Fn::Select": [_, {"Fn::Split": [_, whole]}]}:
                return self._describe(whole)
            case {"Fn::Sub": str(text)}:
                return text
            case _:
                return str(value)


class Edge(NamedTuple):
    """A connection of two resources, by their logical ids, in the direction of what goes between them.

    Args:
        source: Where it starts.
        arrow: Its kind: ``==>`` for what makes the target run or gets there in the end, ``-->`` for what the
            source does with the target, and ``-.->`` for what happens at failures, and what steers others.
        target: Where it ends.
        words: What goes there, or what the source does.
    """

    source: str
    arrow: str
    target: str
    words: str = ""


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
        # A key is no part of the flow, and a file system is mounted through its access point.
        folded = facts.resource(target).get("Type") in ("AWS::KMS::Key", "AWS::EFS::FileSystem")
        if target not in by_lambda and not folded:
            yield Edge(function, "-->", target, verbs(actions))
    for mount in properties.get("FileSystemConfigs", []):
        yield Edge(function, "==>", _named_in(mount["Arn"]), f"{mount['LocalMountPath']}")
    for layer in properties.get("Layers", []):
        yield Edge(_referred(layer), "-.->", function, "layer")
    for endpoint in facts.gateways_of(properties.get("VpcConfig", {}).get("SubnetIds", [])):
        yield Edge(function, "==>", endpoint, "route")


def _notifications(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A bucket, and the functions and topics that it notifies; each event is named once for all filters."""
    events: dict[str, dict[str, None]] = {}
    given = properties["NotificationConfiguration"]
    for configuration in (
        *given.get("LambdaFunctionConfigurations", []),
        *given.get("TopicConfigurations", []),
        *given.get("QueueConfigurations", []),
    ):
        arn = next(
            configuration[key]
            for key in ("LambdaFunctionArn", "TopicArn", "QueueArn")
            if key in configuration
        )
        names = events.setdefault(_referred(arn), {})
        names.update((_EVENTS[event.split(":")[1]], None) for event in configuration["Events"])
    for notified, names in events.items():
        shown = list(names) if len(names) <= _MANY else [*list(names)[: _MANY - 1], "and more"]
        yield Edge(_referred(properties["BucketName"]), "==>", notified, f"object {', '.join(shown)}")


def _alias(facts: TemplateFacts, alias: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """An alias, the versions that it points to, and the CodeDeploy group that shifts it."""
    words = _version(properties["FunctionVersion"])
    for other in properties.get("RoutingConfig", {}).get("AdditionalVersionWeights", []):
        words += f", {_version(other['FunctionVersion'])}: {other['FunctionWeight']:g}"
    yield Edge(alias, "==>", _referred(properties["FunctionName"]), words)
    update = facts.resource(alias).get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
    group = _referred(update.get("DeploymentGroupName"))
    yield Edge(group, "-.->", alias, "shifts")
    hooks = {"BeforeAllowTrafficHook": "before traffic", "AfterAllowTrafficHook": "after traffic"}
    for hook, when in hooks.items():
        yield Edge(group, "-.->", _referred(update.get(hook)), when)


def _scalable_target(facts: TemplateFacts, target: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A scalable target, and the alias whose provisioned concurrency it is."""
    words = f"scales: {properties['MinCapacity']} to {properties['MaxCapacity']}"
    scheduled = len(properties.get("ScheduledActions", []))
    words += f" by {scheduled} scheduled actions" if scheduled else ""
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
        for fleet, given in facts.of_type("AWS::AutoScaling::AutoScalingGroup"):
            if action.get("TargetGroupArn") in given.get("TargetGroupARNs", []):
                yield Edge(_referred(properties["LoadBalancerArn"]), "==>", fleet, words)


def _fleet(facts: TemplateFacts, fleet: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A group of instances, and what the role of its launch template lets them use."""
    template = facts.resource(_referred(properties.get("LaunchTemplate", {}).get("LaunchTemplateId")))
    data = template.get("Properties", {}).get("LaunchTemplateData", {})
    profile = facts.resource(_referred(data.get("IamInstanceProfile", {}).get("Arn")))
    for role in profile.get("Properties", {}).get("Roles", []):
        for target, actions in facts.actions_of(_referred(role)).items():
            yield Edge(fleet, "-->", target, verbs(actions))
    for endpoint in facts.gateways_of(properties.get("VPCZoneIdentifier", [])):
        yield Edge(fleet, "==>", endpoint, "route")


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
        for source, arrow, words in sources or [(rule, "==>", _schedule_of(properties))]:
            yield Edge(source, arrow, _referred(target["Arn"]), words)
            if dead_letters := target.get("DeadLetterConfig"):
                yield Edge(source, "-.->", _referred(dead_letters["Arn"]), "undelivered")


def _schedule_of(rule: dict[str, Any]) -> str:
    """The schedule of a rule that has one: ``rate(1 minute)``."""
    return str(rule.get("ScheduleExpression", ""))


def _archive(_: TemplateFacts, archive: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A bus and its archive, which sends to the bus again."""
    yield Edge(_referred(properties["SourceArn"]), "-->", archive, "archives")
    yield Edge(archive, "-.->", _referred(properties["SourceArn"]), "replays")


def _delivery_stream(_: TemplateFacts, stream: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """From a delivery stream to its function, and to the buckets that get data and originals."""
    destination = properties["ExtendedS3DestinationConfiguration"]
    for processor in destination["ProcessingConfiguration"]["Processors"]:
        for parameter in processor["Parameters"]:
            if parameter["ParameterName"] == "LambdaArn":
                yield Edge(stream, "==>", _referred(parameter["ParameterValue"]), "batches")
    yield Edge(stream, "==>", _referred(destination["BucketARN"]), "data; errors under a prefix")
    if backup := destination.get("S3BackupConfiguration"):
        yield Edge(stream, "-->", _referred(backup["BucketARN"]), "originals")


def _event_subscription(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """The databases whose events RDS publishes, and the topic."""
    for source in properties.get("SourceIds", []):
        yield Edge(_referred(source), "==>", _referred(properties["SnsTopicArn"]), "events")


def _schedule(_: TemplateFacts, schedule: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A schedule, its target, and its dead-letter queue."""
    target = properties["Target"]
    yield Edge(schedule, "==>", _referred(target["Arn"]), properties["ScheduleExpression"])
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
        yield Edge(machine, "-->", target, verbs(actions))


def _triggers(_: TemplateFacts, pool: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A user pool and the functions of its triggers."""
    for trigger, function in properties.get("LambdaConfig", {}).items():
        arn = function.get("LambdaArn", function)  # of a trigger with versions
        words = " ".join(_WORDS.findall(trigger.removesuffix("Config"))).lower()
        yield Edge(pool, "==>", _referred(arn), words)


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
        arrow, words = {"OnFailure": ("-.->", "on failure"), "OnSuccess": ("==>", "on success")}[outcome]
        source, target = _referred(properties["FunctionName"]), _referred(destination["Destination"])
        yield Edge(source, arrow, target, words)


def _ingress(facts: TemplateFacts, _: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """The members of two security groups of which one lets the other in."""
    words = f"TCP {properties['FromPort']}" if isinstance(properties["FromPort"], int) else "its TCP port"
    for source in facts.members_of(properties.get("SourceSecurityGroupId")):
        for target in facts.members_of(properties["GroupId"]):
            if target != source:
                is_database = facts.type_of(target).startswith("AWS::RDS::")
                yield Edge(source, "-->", target, "SQL" if is_database else words)


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
    yield Edge(rule, "==>", _referred(properties["Source"].get("SourceIdentifier")), "evaluate")


def _topic_rule(_: TemplateFacts, rule: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A rule of AWS IoT, the functions that it invokes, and the queue for what it cannot deliver."""
    payload = properties["TopicRulePayload"]
    for action in payload["Actions"]:
        yield Edge(rule, "==>", _referred(action.get("Lambda", {}).get("FunctionArn")), "messages")
    failed = payload.get("ErrorAction", {}).get("Sqs", {}).get("QueueUrl")
    yield Edge(rule, "-.->", _referred(failed), "undelivered")


def _receipt_rule(_: TemplateFacts, rule: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A receipt rule of SES, and its functions and buckets, in the order of its actions."""
    for number, action in enumerate(properties["Rule"]["Actions"], 1):
        found = action.get("LambdaAction", {}).get("FunctionArn") or action.get("S3Action", {}).get(
            "BucketName"
        )
        yield Edge(rule, "==>", _referred(found), f"action {number}")


def _database(facts: TemplateFacts, database: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A database, and what its role for the feature Lambda lets its SQL invoke."""
    for role in properties.get("AssociatedRoles", []):
        for target, actions in facts.actions_of(_referred(role["RoleArn"])).items():
            yield Edge(database, "-->", target, verbs(actions))


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
        everywhere = len(patterns) == len(behaviors)
        yield Edge(distribution, "-->", function, event if everywhere else f"{event}: {', '.join(patterns)}")
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


_MANY = 4  # events of a bucket that a picture lists
# What has happened to an object, by the name of the event of S3.
_EVENTS = {
    "ObjectCreated": "created",
    "ObjectRemoved": "removed",
    "ObjectRestore": "restored",
    "ObjectTagging": "tagged",
    "ObjectAcl": "shared",
    "LifecycleExpiration": "expired",
    "LifecycleTransition": "moved",
    "IntelligentTiering": "archived",
    "Replication": "replicated",
    "ReducedRedundancyLostObject": "lost",
    "TestEvent": "tested",
}

# How the connections of a resource are found, by its type, in the order in which a diagram lists them.
_EDGES: Mapping[str, Callable[[TemplateFacts, str, dict[str, Any]], Iterator[Edge]]] = {
    "Custom::S3BucketNotifications": _notifications,
    "AWS::Lambda::Function": _calls,
    "AWS::Lambda::Alias": _alias,
    "AWS::ApplicationAutoScaling::ScalableTarget": _scalable_target,
    "AWS::ApiGateway::RestApi": _api,
    "AWS::ApiGatewayV2::Api": _api,
    "AWS::AutoScaling::AutoScalingGroup": _fleet,
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


def _all_referred(value: Any) -> Iterator[str]:
    """Each logical id that a value refers to, at any depth."""
    if name := _referred(value):
        yield name
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _all_referred(one)


def _referred_in_arn(arn: Any) -> str:
    """The logical id that an ARN refers to: it begins with one, or is of a route, a table or an identity."""
    match arn:
        case {"Fn::Join": ["", [_, *parts]]} if re.search("execute-api|:identity/|:table/", str(parts)):
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
