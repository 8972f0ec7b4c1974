"""cdk-nag finds nothing in the constructs, whatever the app: defaults, and resources from other stacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks, ServerlessChecks

from cdk_lambda_patterns import AsyncOptions, HardenedFunction
from cdk_lambda_patterns.core.permissions import _flatten
from cdk_lambda_patterns.storage.metadata_sync import MetadataSync
from cdk_lambda_patterns.storage.thumbnailer import Thumbnailer
from cdk_lambda_patterns.streams.kinesis_consumer import KinesisConsumer
from tests.stacks.synthesis import read_findings

CODE = lambda_.Code.from_inline("def handler(event, context): ...")


def findings(folder: Path, make: Callable[[Stack, s3.Bucket], Any], **context: Any) -> list[str]:
    """What cdk-nag finds in a stack that gets a bucket from another stack."""
    app = App(outdir=str(folder), context={"aws:cdk:bundling-stacks": []} | context)
    bucket = s3.Bucket(Stack(app, "Data"), "Bucket", enforce_ssl=True)
    make(Stack(app, "Patterns"), bucket)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
    try:
        app.synth()
    except RuntimeError:
        return [finding for finding in read_findings(folder) if "Patterns/" in finding]
    return []


@pytest.mark.parametrize("references", ["strong", "weak"])
def test_a_resource_from_another_stack_is_acknowledged_by_the_name_of_its_import(
    tmp_path: Path, references: str
) -> None:
    def make(stack: Stack, bucket: s3.Bucket) -> None:
        Thumbnailer(stack, "Thumbnailer", destination=bucket)
        MetadataSync(stack, "MetadataSync", source=bucket)
        KinesisConsumer(stack, "Consumer", code=CODE, on_failure=bucket)

    assert findings(tmp_path, make, **{"@aws-cdk/core:defaultCrossStackReferences": references}) == []


def test_a_function_without_options_has_no_finding(tmp_path: Path) -> None:
    def make(stack: Stack, _bucket: s3.Bucket) -> None:
        HardenedFunction(stack, "Plain", code=CODE)
        HardenedFunction(stack, "Asynchronous", code=CODE, asynchronous=AsyncOptions())

    assert findings(tmp_path, make) == []


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ({"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":s3:::b"]]}, "arn:<AWS::Partition>:s3:::b"),
        ({"Fn::Join": ["", [{"Fn::ImportValue": "Data:ExportsB"}, "/*"]]}, "Data:ExportsB/*"),
        ({"Fn::Join": ["", [{"Fn::ImportValue": {"Fn::Sub": "${Name}-Arn"}}, "/*"]]}, "<Name>-Arn/*"),
        ({"Fn::Sub": "${Bucket.Arn}/*"}, "<Bucket.Arn>/*"),
        ({"Fn::Select": [0, {"Ref": "Buckets"}]}, json.dumps({"Fn::Select": [0, {"Ref": "Buckets"}]})),
    ],
)
def test_an_expression_is_spelt_as_cdk_nag_spells_it(expression: Any, name: str) -> None:
    assert _flatten(expression) == name.replace('": ', '":').replace(', "', ',"').replace(", {", ",{")
