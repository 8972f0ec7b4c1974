"""Property injectors of an app reach every resource of every row, in a stage too, and change nothing else."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aws_cdk
import jsii
import pytest
from aws_cdk import App, Environment, IPropertyInjector, PropertyInjectors, Stack, Stage
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template

from cdk_lambda_patterns import FunctionOptions, HardenedFunction, LogOptions
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer
from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tasks.synthesis import app_context
from tests.templates import Assembly, Resources, read_stage, read_templates, walk

# A Region that has everything.
ENVIRONMENT = Environment(account="123456789012", region="us-east-1")
KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
CODE = lambda_.Code.from_inline("def handler(event, context): ...")

# The properties of each type of resource that name its key.
ENCRYPTED = {
    "AWS::DynamoDB::Table": "SSESpecification",
    "AWS::Kinesis::Stream": "StreamEncryption",
    "AWS::Logs::LogGroup": "KmsKeyId",
    "AWS::RDS::DBInstance": "KmsKeyId",
    "AWS::S3::Bucket": "BucketEncryption",
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::SQS::Queue": "KmsMasterKeyId",
}


@jsii.implements(IPropertyInjector)
class Defaults:
    """Properties that a construct leaves open."""

    def __init__(self, construct_class: Any, **properties: Any) -> None:
        self._id = construct_class.PROPERTY_INJECTION_ID
        self._properties = properties

    @property
    def construct_unique_id(self) -> str:
        return str(self._id)

    def inject(self, original_props: Any, *, scope: Any, id: str) -> Any:
        return {**self._properties, **(original_props or {})}


def company_defaults(key: kms.IKey) -> list[Defaults]:
    """One key for everything, a year of logs, and memory."""
    return [
        Defaults(logs.LogGroup, encryptionKey=key, retention=logs.RetentionDays.ONE_YEAR),
        Defaults(lambda_.Function, environmentEncryption=key, memorySize=1234),
        Defaults(sqs.Queue, encryptionMasterKey=key),
        Defaults(sns.Topic, masterKey=key),
        Defaults(s3.Bucket, encryptionKey=key),
        Defaults(dynamodb.Table, encryptionKey=key),
        Defaults(kinesis.Stream, encryptionKey=key),
        Defaults(rds.DatabaseInstance, storageEncryptionKey=key),
    ]


def app_with(folder: Path, injectors: Sequence[Defaults]) -> App:
    """An app with these injectors."""
    app = App(context=app_context(), outdir=str(folder), builtin_cloud_formation_validation=False)
    PropertyInjectors.of(app).add(*injectors)
    return app


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Resources]:
    """The resources of each row, in a stage."""
    key = kms.Key.from_key_arn(Stack(App(), "Keys"), "Key", KEY)
    app = app_with(tmp_path_factory.mktemp("encrypted"), company_defaults(key))
    stage = Stage(app, "Company", env=ENVIRONMENT)
    for row in ARCHITECTURES:
        row.make_stack(stage)
    return read_stage(app, "Company")


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)
def test_every_resource_of_a_row_takes_the_defaults_of_the_app(
    encrypted: dict[str, Resources], row: Architecture
) -> None:
    resources = encrypted[row.id]
    for kind, name in ENCRYPTED.items():
        for logical_id, properties in resources.all(kind).items():
            assert KEY in walk(properties.get(name)), f"{logical_id} ({kind})"
    for logical_id, group in resources.all("AWS::Logs::LogGroup").items():
        assert group["RetentionInDays"] == 365, logical_id
    # A row whose subject is the key of its function makes one.
    keys = [KEY, *({"Fn::GetAtt": [key, "Arn"]} for key in resources.all("AWS::KMS::Key"))]
    for logical_id, function in resources.all("AWS::Lambda::Function").items():
        if "LoggingConfig" in function:  # not one that the CDK makes for a custom resource, as L1
            assert function["KmsKeyArn"] in keys, logical_id


def injectable_classes() -> Iterator[Any]:
    """Every class of the services in use that takes injected properties."""
    for name in vars(aws_cdk):
        module = vars(aws_cdk)[name]
        if inspect.ismodule(module):
            for member in vars(module).values():
                if inspect.isclass(member) and hasattr(member, "PROPERTY_INJECTION_ID"):
                    yield member


@pytest.mark.full  # another synthesis of the catalogue
def test_injectors_that_inject_nothing_change_nothing(catalogue: Assembly, tmp_path: Path) -> None:
    injectors = {made.construct_unique_id: made for made in map(Defaults, injectable_classes())}
    assert len(injectors) > 50
    app = app_with(tmp_path, list(injectors.values()))
    for row in ARCHITECTURES:
        row.make_stack(app)
    app.synth()
    untouched = read_templates(tmp_path)
    for row in ARCHITECTURES:
        before, after = (templates[row.id].template for templates in (catalogue.stacks, untouched))
        assert json.dumps(after, sort_keys=True) == json.dumps(before, sort_keys=True), row.id


def test_what_the_user_gives_wins_over_the_app_and_the_app_over_the_library() -> None:
    app = App()
    stack = Stack(app, "Stack")
    PropertyInjectors.of(app).add(*company_defaults(kms.Key.from_key_arn(stack, "Key", KEY)))
    own = kms.Key(stack, "Own")
    options = FunctionOptions(
        memory_size=512,
        environment_encryption=own,
        logs=LogOptions(retention=logs.RetentionDays.ONE_WEEK, encryption_key=own),
    )
    HardenedFunction(stack, "Function", code=CODE, options=options)
    SqsConsumer(stack, "Consumer", code=CODE)
    resources = Resources(dict(Template.from_stack(stack).to_json()))
    memory = {one["MemorySize"] for one in resources.all("AWS::Lambda::Function").values()}
    retention = {one["RetentionInDays"] for one in resources.all("AWS::Logs::LogGroup").values()}
    assert (memory, retention) == ({512, 1234}, {7, 365})
    own_key = {"Fn::GetAtt": [stack.resolve(own.node.default_child.logical_id), "Arn"]}  # type: ignore[union-attr]
    assert [own_key, KEY] == [one["KmsKeyId"] for one in resources.all("AWS::Logs::LogGroup").values()]


def test_a_function_may_use_the_key_that_the_app_gave_its_queue() -> None:
    app = App()
    stack = Stack(app, "Stack")
    PropertyInjectors.of(app).add(*company_defaults(kms.Key.from_key_arn(stack, "Key", KEY)))
    SqsConsumer(stack, "Consumer", code=CODE)
    resources = Resources(dict(Template.from_stack(stack).to_json()))
    assert "kms:Decrypt" in resources.actions("ConsumerFunctionServiceRole")
