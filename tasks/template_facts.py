"""What a template knows about its architecture: the parts, how they are connected, who may do what."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.alias_facts import targets
from tasks.load_balancer_facts import routes
from tasks.network_facts import ways
from tasks.release_facts import steps

# Resources that a reader of a diagram looks for, with the shape that Mermaid draws.
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
# What says more than the name of the service.
_KINDS = {
    "AWS::CloudWatch::Alarm": "alarm",
    "AWS::CodeDeploy::DeploymentGroup": "CodeDeploy",
    "AWS::EC2::VPCEndpoint": "VPC endpoint",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "ALB",
    "AWS::Lambda::Alias": "alias",
    "AWS::RDS::DBProxy": "RDS Proxy",
}
# Functions of the CDK's own custom resources: they work during a deployment only.
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

    def resources(self) -> list[tuple[str, str, str]]:
        """Path, type, and what happens when the stack is deleted, for each resource."""
        return sorted(
            (self.path(logical_id), resource["Type"], resource.get("DeletionPolicy", "Delete").lower())
            for logical_id, resource in self._resources.items()
            if resource["Type"] != "AWS::CDK::Metadata"
        )

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
        lines += [f"    {source} {arrow} {target}" for source, arrow, target in self._edges()]
        return "\n".join(lines)

    def _of_type(self, resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for logical_id, resource in self._resources.items():
            if resource["Type"] == resource_type:
                yield logical_id, resource.get("Properties", {})

    def _drawn(self) -> list[str]:
        return [
            logical_id
            for logical_id, resource in self._resources.items()
            if resource["Type"] in _SHAPES and not self.path(logical_id).startswith(_PROVIDERS)
        ]

    def _edges(self) -> Iterator[tuple[str, str, str]]:
        drawn = set(self._drawn())
        for _, properties in self._of_type("Custom::S3BucketNotifications"):
            for function, events in _notifications(properties).items():
                yield _referred(properties["BucketName"]), f"-->|{', '.join(events)}|", function
        for logical_id, properties in self._of_type("AWS::Lambda::Function"):
            if logical_id in drawn:
                for target, actions in self._targets(_referred(properties["Role"])).items():
                    if target in drawn:
                        yield logical_id, f"-->|{', '.join(actions)}|", target
        for alias, versions, function in targets(self._resources):
            yield alias, f"-->|{versions}|", function
        for source, words, target in steps(self._resources):
            yield source, f"-.->|{words}|", target
        for balancer, port, function in routes(self._resources):
            yield balancer, f"==>|{port}|", function
        for _, properties in self._of_type("AWS::Lambda::EventSourceMapping"):
            yield _referred(properties["EventSourceArn"]), "==>", _referred(properties["FunctionName"])
        for _, properties in self._of_type("AWS::Events::Rule"):
            pattern = properties.get("EventPattern", {})
            names = pattern.get("detail", {}).get("bucket", {}).get("name", [])
            for target in properties["Targets"]:
                for name in names:
                    yield _referred(name), "-->|EventBridge|", _referred(target["Arn"])
        for logical_id, properties in self._of_type("AWS::Scheduler::Schedule"):
            target = properties["Target"]["Arn"]
            yield logical_id, f"-->|{properties['ScheduleExpression']}|", _referred(target)
        for _, properties in self._of_type("AWS::SNS::Subscription"):
            yield _referred(properties["TopicArn"]), "==>", _referred(properties["Endpoint"])
        for logical_id, properties in self._of_type("AWS::SQS::Queue"):
            if "RedrivePolicy" in properties:
                dead_letters = _referred(properties["RedrivePolicy"]["deadLetterTargetArn"])
                yield logical_id, "-.->|dead letters|", dead_letters
        for _, properties in self._of_type("AWS::Lambda::EventInvokeConfig"):
            for outcome, destination in properties.get("DestinationConfig", {}).items():
                words = {"OnFailure": "on failure", "OnSuccess": "on success"}[outcome]
                target = _referred(destination["Destination"])
                yield _referred(properties["FunctionName"]), f"-.->|{words}|", target
        for source, port, target in ways(self._resources):
            if {source, target} <= drawn:
                yield source, f"==>|{port}|", target

    def _targets(self, role: str) -> dict[str, list[str]]:
        """What a role may do, without the service's prefix, by the logical id that it may do it on."""
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


def _notifications(properties: dict[str, Any]) -> dict[str, list[str]]:
    """The events that a bucket tells, by the function that it tells them to."""
    events: dict[str, list[str]] = {}
    for configuration in properties["NotificationConfiguration"].get("LambdaFunctionConfigurations", []):
        told = events.setdefault(_referred(configuration["LambdaFunctionArn"]), [])
        for event in configuration["Events"]:
            name = event.removeprefix("s3:").removesuffix(":*")
            if name not in told:  # once, whatever the filters
                told.append(name)
    return events


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
