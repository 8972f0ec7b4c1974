"""What a template says about its architecture in a word: the services it uses, what invokes its functions.

The start page of the site filters by them. ``run.py docs`` writes them to ``docs/catalogue.json``, so that
the site is built without synthesising anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# AWS's own names, where they are not the second part of a type or the first label of a principal.
_SERVICES = {
    "AmazonMQ": "Amazon MQ",
    "ApiGateway": "API Gateway",
    "ApiGatewayV2": "API Gateway",
    "ApplicationAutoScaling": "Application Auto Scaling",
    "AutoScaling": "EC2 Auto Scaling",
    "CodeGuruProfiler": "CodeGuru Profiler",
    "Config": "AWS Config",
    "EC2": "VPC",
    "ElasticLoadBalancingV2": "Elastic Load Balancing",
    "Events": "EventBridge",
    "IoT": "AWS IoT",
    "KinesisFirehose": "Firehose",
    "Logs": "CloudWatch Logs",
    "Scheduler": "EventBridge Scheduler",
    "SecretsManager": "Secrets Manager",
    "StepFunctions": "Step Functions",
}
_PRINCIPALS = {
    "alexa-appkit": "Alexa",
    "apigateway": "API Gateway",
    "batchoperations": "S3 Batch Operations",
    "cloudfront": "CloudFront",
    "codedeploy": "CodeDeploy",
    "cognito-idp": "Cognito",
    "config": "AWS Config",
    "elasticloadbalancing": "Elastic Load Balancing",
    "events": "EventBridge",
    "firehose": "Firehose",
    "iot": "AWS IoT",
    "lexv2": "Lex",
    "logs": "CloudWatch Logs",
    "rds": "RDS",
    "scheduler": "EventBridge Scheduler",
    "states": "Step Functions",
}
# What every architecture has, such as traces, or the CDK's own custom resources.
_EVERYWHERE = {"CDK", "IAM", "Lambda", "XRay"}
# The streams of tables have the ARN of their table in front of them.
_SOURCES = {"AWS::DynamoDB::Table": "DynamoDB stream", "AWS::DynamoDB::GlobalTable": "DynamoDB stream"}
DIRECT = "Direct call"


def services(template: Mapping[str, Any]) -> list[str]:
    """The services of a template's resources by AWS's names, without those of every architecture."""
    resources = template["Resources"].values()
    types = {resource["Type"] for resource in resources}
    found = {kind.split("::")[1] for kind in types if kind.startswith("AWS::")} - _EVERYWHERE
    if "AWS::Logs::SubscriptionFilter" not in types:  # otherwise only the log groups of functions
        found.discard("Logs")
    if "AWS::EC2::VPC" not in types:
        found.discard("EC2")
    names = {_SERVICES.get(name, name) for name in found}
    if "AWS::EC2::LaunchTemplate" in types:
        names.add("EC2")
    if any(one.get("Properties", {}).get("ManageMasterUserPassword") for one in resources):
        names.add("Secrets Manager")
    return sorted(names, key=str.casefold)


def triggers(template: Mapping[str, Any]) -> list[str]:
    """What invokes the functions of a template; a direct call if it says nothing of it."""
    return sorted(set(_triggers(template["Resources"])), key=str.casefold) or [DIRECT]


def _triggers(resources: Mapping[str, Any]) -> Iterator[str]:
    invokers = {  # the roles of services that may invoke functions
        _logical_id(role)
        for resource in resources.values()
        if resource["Type"] == "AWS::IAM::Policy"
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
        if "lambda:InvokeFunction" in statement["Action"]  # one action or a list of them
        for role in resource["Properties"].get("Roles", [])
    }
    for logical_id, resource in resources.items():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::Lambda::Permission":
                yield from _of_principal(properties["Principal"])
            case "AWS::Lambda::EventSourceMapping":
                source = resources.get(_logical_id(properties["EventSourceArn"]), {}).get("Type", "")
                yield _SOURCES.get(source) or _SERVICES.get(source.split("::")[1], source.split("::")[1])
            case "AWS::Lambda::Url":
                yield "Function URL"
            case "AWS::IAM::Role" if logical_id in invokers:
                for statement in properties["AssumeRolePolicyDocument"]["Statement"]:
                    yield from _of_principal(statement["Principal"].get("Service", ""))


def _of_principal(principal: Any) -> Iterator[str]:
    """The service of a principal; none for accounts, and for Lambda, whose functions call each other."""
    label = principal.split(".")[0] if isinstance(principal, str) and ".amazon" in principal else ""
    if label and label not in ("lambda", "edgelambda"):
        yield _PRINCIPALS.get(label, label.upper())


def _logical_id(reference: Any) -> str:
    """The logical id that a `Ref` or a `Fn::GetAtt` names; empty if it is neither."""
    if not isinstance(reference, Mapping):
        return ""
    if "Ref" in reference:
        return str(reference["Ref"])
    return str(reference.get("Fn::GetAtt", [""])[0])
