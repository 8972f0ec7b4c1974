"""What a template says about its architecture: its parts, how they are connected, and who may do what.

How a type of resource appears in the diagram is in two tables: `_SHAPES` has what is drawn as a box, `_EDGES`
the function that finds the connections of each resource of a type.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

# What is drawn, with the shape that Mermaid gives it.
_SHAPES = {
    "AWS::S3::Bucket": ("[(", ")]"),
    "AWS::DynamoDB::Table": ("[(", ")]"),
    "AWS::CloudWatch::Alarm": ("[/", "\\]"),
    "AWS::CodeDeploy::DeploymentGroup": ("{{", "}}"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("([", "])"),
    "AWS::Lambda::Alias": (">", "]"),
    "AWS::Lambda::Function": ("[[", "]]"),
    "AWS::Kinesis::Stream": ("[\\", "\\]"),
    "AWS::SNS::Topic": ("((", "))"),
    "AWS::SQS::Queue": ("[/", "/]"),
    "AWS::EC2::VPCEndpoint": ("{{", "}}"),
    "AWS::RDS::DBCluster": ("[(", ")]"),
    "AWS::RDS::DBInstance": ("[(", ")]"),
    "AWS::RDS::DBProxy": ("{{", "}}"),
    "AWS::Scheduler::Schedule": (">", "]"),
}
# What is called by another name than its service.
_KINDS = {
    "AWS::CloudWatch::Alarm": "alarm",
    "AWS::CodeDeploy::DeploymentGroup": "CodeDeploy",
    "AWS::EC2::VPCEndpoint": "VPC endpoint",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "ALB",
    "AWS::Lambda::Alias": "alias",
    "AWS::RDS::DBProxy": "RDS Proxy",
}
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
        for logical_id in self._drawn():
            opening, closing = _SHAPES[self._resources[logical_id]["Type"]]
            kind = self._resources[logical_id]["Type"].split("::")[1]
            kind = _KINDS.get(self._resources[logical_id]["Type"], kind)
            name = self.path(logical_id).split("/")[-1]
            lines.append(f'    {logical_id}{opening}"{kind}: {name}"{closing}')
        lines += [f"    {edge.source} {edge.arrow} {edge.target}" for edge in self._edges()]
        return "\n".join(lines)

    def _of_type(self, resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for logical_id, resource in self._resources.items():
            if resource["Type"] == resource_type:
                yield logical_id, resource.get("Properties", {})

    def _drawn(self) -> list[str]:
        return [
            logical_id
            for logical_id, resource in self._resources.items()
            if resource["Type"] in _SHAPES and not self.is_of_cdk(self.path(logical_id))
        ]

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
                    targets.setdefault(_referred(resource), []).extend(actions)
        return targets

    def _statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for _, properties in self._of_type("AWS::IAM::Policy"):
            for role in properties["Roles"]:
                for statement in properties["PolicyDocument"]["Statement"]:
                    yield _referred(role), statement
        for logical_id, properties in self._of_type("AWS::IAM::Role"):
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
    """A connection of two resources, by their logical ids, with Mermaid's arrow."""

    source: str
    arrow: str
    target: str


def _calls(facts: TemplateFacts, function: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A function and what its role lets it use."""
    for target, actions in facts.actions_of(_referred(properties["Role"])).items():
        yield Edge(function, f"-->|{', '.join(actions)}|", target)


def _notifications(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A bucket and the functions that it notifies; each event is named once, whatever its filters are."""
    events: dict[str, dict[str, None]] = {}
    for configuration in properties["NotificationConfiguration"].get("LambdaFunctionConfigurations", []):
        names = events.setdefault(_referred(configuration["LambdaFunctionArn"]), {})
        names.update(
            (event.removeprefix("s3:").removesuffix(":*"), None) for event in configuration["Events"]
        )
    for function, names in events.items():
        yield Edge(_referred(properties["BucketName"]), f"-->|{', '.join(names)}|", function)


def _alias(facts: TemplateFacts, alias: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """An alias, the versions that it points to, and the CodeDeploy group that shifts it."""
    words = _version(properties["FunctionVersion"])
    for other in properties.get("RoutingConfig", {}).get("AdditionalVersionWeights", []):
        words += f", {_version(other['FunctionVersion'])}: {other['FunctionWeight']:g}"
    yield Edge(alias, f"-->|{words}|", _referred(properties["FunctionName"]))
    update = facts.resource(alias).get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
    group = _referred(update.get("DeploymentGroupName"))
    yield Edge(group, "-.->|shifts|", alias)
    hooks = {"BeforeAllowTrafficHook": "before traffic", "AfterAllowTrafficHook": "after traffic"}
    for hook, when in hooks.items():
        yield Edge(group, f"-.->|{when}|", _referred(update.get(hook)))


def _version(version: object) -> str:
    """A version by its number, or the one that this template publishes."""
    return f"version {version}" if isinstance(version, str) else "newest version"


def _alarms(_: TemplateFacts, group: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A CodeDeploy group and the alarms that stop its deployments."""
    for alarm in properties.get("AlarmConfiguration", {}).get("Alarms", []):
        yield Edge(_referred(alarm["Name"]), "-.->|stops|", group)


def _listener(facts: TemplateFacts, _: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A load balancer and the functions that a listener forwards to."""
    words = f"{properties['Protocol']} {properties['Port']}"
    for action in properties["DefaultActions"]:
        group = facts.resource(_referred(action.get("TargetGroupArn"))).get("Properties", {})
        for target in group.get("Targets", []):
            yield Edge(_referred(properties["LoadBalancerArn"]), f"==>|{words}|", _referred(target["Id"]))


def _poll(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A queue or stream and the function that Lambda invokes with its messages."""
    yield Edge(_referred(properties["EventSourceArn"]), "==>", _referred(properties["FunctionName"]))


def _rule(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """Buckets and the targets of a rule for their events."""
    buckets = properties.get("EventPattern", {}).get("detail", {}).get("bucket", {}).get("name", [])
    for target in properties["Targets"]:
        for bucket in buckets:
            yield Edge(_referred(bucket), "-->|EventBridge|", _referred(target["Arn"]))


def _schedule(_: TemplateFacts, schedule: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A schedule and its target."""
    yield Edge(schedule, f"-->|{properties['ScheduleExpression']}|", _referred(properties["Target"]["Arn"]))


def _subscription(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A topic and its subscriber."""
    yield Edge(_referred(properties["TopicArn"]), "==>", _referred(properties["Endpoint"]))


def _dead_letters(_: TemplateFacts, queue: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A queue and its dead-letter queue."""
    target = _referred(properties.get("RedrivePolicy", {}).get("deadLetterTargetArn"))
    yield Edge(queue, "-.->|dead letters|", target)


def _destinations(_: TemplateFacts, __: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """A function and the destinations of its asynchronous invocations."""
    for outcome, destination in properties.get("DestinationConfig", {}).items():
        words = {"OnFailure": "on failure", "OnSuccess": "on success"}[outcome]
        source, target = _referred(properties["FunctionName"]), _referred(destination["Destination"])
        yield Edge(source, f"-.->|{words}|", target)


def _ingress(facts: TemplateFacts, _: str, properties: dict[str, Any]) -> Iterator[Edge]:
    """The members of two security groups of which one lets the other in."""
    port = properties["FromPort"] if isinstance(properties["FromPort"], int) else "its port"
    for source in facts.members_of(properties.get("SourceSecurityGroupId")):
        for target in facts.members_of(properties["GroupId"]):
            yield Edge(source, f"==>|TCP {port}|", target)


# How the connections of a resource are found, by its type, in the order in which a diagram lists them.
_EDGES: Mapping[str, Callable[[TemplateFacts, str, dict[str, Any]], Iterator[Edge]]] = {
    "Custom::S3BucketNotifications": _notifications,
    "AWS::Lambda::Function": _calls,
    "AWS::Lambda::Alias": _alias,
    "AWS::CodeDeploy::DeploymentGroup": _alarms,
    "AWS::ElasticLoadBalancingV2::Listener": _listener,
    "AWS::Lambda::EventSourceMapping": _poll,
    "AWS::Events::Rule": _rule,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SQS::Queue": _dead_letters,
    "AWS::Lambda::EventInvokeConfig": _destinations,
    "AWS::EC2::SecurityGroupIngress": _ingress,
}

# Where a resource names the security groups that it is in.
_SECURITY_GROUPS = {
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


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
