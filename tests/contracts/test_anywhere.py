"""What holds for every row wherever it is deployed: in a stage, without a region, in each partition."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from aws_cdk import App, Environment, Stage

import cdk_lambda_patterns
from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tasks.synthesis import app_context
from tests.templates import Assembly, Resources, read_stage, walk

LIBRARY = Path(cdk_lambda_patterns.__path__[0])

# The stages that hold the catalogue: their region, and the partition that ARNs are to be in.
PLACES = {"china": ("cn-north-1", "aws-cn"), "gov-cloud": ("us-gov-west-1", "aws-us-gov")}


@pytest.fixture(scope="module")
def templates(place: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Resources]:
    """The catalogue in a stage for a place, synthesised once: templates by row.

    A row that AWS does not have there is in a stage of a Region that has everything.
    """
    folder = tmp_path_factory.mktemp("stages")
    app = App(context=app_context(), outdir=str(folder), builtin_cloud_formation_validation=False)
    region, _ = PLACES[place]
    stage, elsewhere = (
        Stage(app, name, env=Environment(account="123456789012", region=where))
        for name, where in ((place, region), ("elsewhere", "us-east-1"))
    )
    for row in ARCHITECTURES:
        row.make_stack(elsewhere if place in row.exemptions else stage)
    return read_stage(app, place)


def arns_of_another_partition(template: str, partition: str | None) -> list[str]:
    """Return the ARNs in a template that are not of a partition; without one, no ARN may name any."""
    return [
        word
        for word in template.replace('"', " ").split()
        if word.startswith("arn:aws") and not (partition and word.startswith(f"arn:{partition}:"))
    ]


@pytest.mark.full  # Two more syntheses. A literal partition shows below, a stage in `test_app_defaults`.
@pytest.mark.parametrize("place", PLACES, scope="module")
@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)
def test_a_row_works_in_a_stage_of_any_partition(
    templates: dict[str, Resources], row: Architecture, place: str
) -> None:
    if reason := row.exemptions.get(place):
        pytest.skip(reason)
    template = json.dumps(templates[row.id].template)
    assert arns_of_another_partition(template, PLACES[place][1]) == []


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)
def test_a_row_without_a_region_names_no_partition(catalogue: Assembly, row: Architecture) -> None:
    """The app of the catalogue sets no Region, so its stacks are for every one."""
    if reason := row.exemptions.get("anywhere"):
        pytest.skip(reason)
    assert arns_of_another_partition(json.dumps(catalogue.stacks[row.id].template), None) == []


def test_an_arn_of_another_partition_is_found() -> None:
    template = '{"a": "arn:aws:s3:::b", "c": "arn:aws-cn:s3:::d"}'
    assert arns_of_another_partition(template, "aws-cn") == ["arn:aws:s3:::b"]
    assert arns_of_another_partition(template, None) == ["arn:aws:s3:::b", "arn:aws-cn:s3:::d"]


def outside_of_a_construct(source: str) -> list[str]:
    """Return what a construct must not have: an output, or a literal partition in an ARN."""
    found = []
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Name | ast.Attribute) and "CfnOutput" in ast.unparse(node):
            found.append(f"line {line}: an output; stacks make outputs")
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and text.startswith("arn:aws"):
            found.append(f"line {line}: a literal partition; use Stack.format_arn or an attribute")
    return found


@pytest.mark.parametrize(
    "module", sorted(LIBRARY.rglob("*.py")), ids=lambda path: path.relative_to(LIBRARY).as_posix()
)
def test_a_construct_makes_no_output_and_names_no_partition(module: Path) -> None:
    assert outside_of_a_construct(module.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    ["from aws_cdk import CfnOutput\nCfnOutput(self, 'A')", "f'arn:aws:s3:::{name}'", "x = 'arn:aws-cn:a'"],
)
def test_an_output_and_a_literal_partition_are_found(source: str) -> None:
    assert len(outside_of_a_construct(source)) == 1


# Properties that fix a resource's name: a second deployment of the stack would collide with the first.
NAMES = {
    "AWS::AmazonMQ::Broker": "BrokerName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::CodeDeploy::Application": "ApplicationName",
    "AWS::CodeDeploy::DeploymentConfig": "DeploymentConfigName",
    "AWS::Cognito::UserPool": "UserPoolName",
    "AWS::Cognito::UserPoolClient": "ClientName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::EC2::SecurityGroup": "GroupName",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "Name",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "Name",
    "AWS::Events::EventBus": "Name",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Kinesis::Stream": "Name",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::RDS::DBCluster": "DBClusterIdentifier",
    "AWS::RDS::DBInstance": "DBInstanceIdentifier",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::SecretsManager::Secret": "Name",
}


_NAMED_AFTER_STACK = ("AWS::CloudWatch::Alarm", "AWS::Events::EventBus")


def physical_names(resources: Resources) -> list[str]:
    """Return the resources of a template that have a fixed name.

    An alarm may have one that begins with the stack's name, which is unique in an account and region, so two
    deployments do not collide. ``CanaryAlias`` needs it: each version gets new alarms, which CloudFormation
    makes for a new name only, and the role that describes them must match their names before they exist. An
    alarm holds no data, so a change that replaces it loses nothing. All of that is true of alarms only: the
    name of a bucket is unique in the world, and that of any data store would block its replacement. An event
    bus may have such a name, too, because CloudFormation generates none for it. So may a broker, whose name
    is too short for that of a stack: it has the id of the stack.
    """
    return [
        f"{logical_id}: {name}={properties[name]}"
        for kind, name in NAMES.items()
        for logical_id, properties in resources.all(kind).items()
        if name in properties
        and not (kind in _NAMED_AFTER_STACK and "AWS::StackName" in walk(properties[name]))
        and not (kind == "AWS::AmazonMQ::Broker" and "AWS::StackId" in walk(properties[name]))
    ]


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)
def test_no_resource_has_a_physical_name(catalogue: Assembly, row: Architecture) -> None:
    assert physical_names(catalogue.stacks[row.id]) == []


def test_a_physical_name_is_found() -> None:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "mine"}}
    assert physical_names(Resources({"Resources": {"Bucket": bucket}})) == ["Bucket: BucketName=mine"]


@pytest.mark.parametrize(("kind", "found"), [("AWS::CloudWatch::Alarm", 0), ("AWS::SQS::Queue", 1)])
def test_only_an_alarm_may_be_named_after_its_stack(kind: str, found: int) -> None:
    name = {"Fn::Join": ["-", [{"Ref": "AWS::StackName"}, "errors"]]}
    named = {"Type": kind, "Properties": {NAMES[kind]: name}}
    assert len(physical_names(Resources({"Resources": {"Named": named}}))) == found
