"""A deployment reports what its handlers read without effect."""

from __future__ import annotations

import pytest

from helpers.lambda_functions import Functions, zipped
from helpers.stacks import arn, deploy, function, ref, role
from localaws.engines import namespaces

pytestmark = pytest.mark.local


def test_what_has_no_effect_is_reported(functions: Functions) -> None:
    aws, settings = functions.aws, {"MaximumRetryAttempts": 2, "BisectBatchOnFunctionError": True}
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
        },
    }
    stream = {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 1}}
    sources = {"Table": {"Fn::GetAtt": ["Table", "StreamArn"]}, "Stream": arn("Stream")}
    readers = {
        f"Reader{name}": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "FunctionName": ref("Function"),
                "EventSourceArn": source,
                "StartingPosition": "LATEST",
                **settings,
            },
        }
        for name, source in sources.items()
    }
    pool = {
        "Type": "AWS::Cognito::UserPool",
        "Properties": {"LambdaConfig": {"UserMigration": arn("Function")}},
    }
    role_ = role(("dynamodb:*", "*"), ("kinesis:*", "*"))
    fixed = {"Role": role_, "Function": function("Role"), "Table": table, "Stream": stream, "Pool": pool}
    stack = deploy(aws, fixed | readers)
    dropped = {(one.logical_id, one.property) for one in aws.dropped_properties() if one.stack == stack.name}
    assert dropped == {("Pool", "LambdaConfig.UserMigration")}


def test_an_extension_that_is_not_started_is_reported(functions: Functions) -> None:
    """Node.js functions have none, and Python functions only where they have a file system of their own."""
    archive = zipped({"extensions/watch": "#!/bin/sh"})
    layer = functions.aws.client("lambda").publish_layer_version(LayerName="w", Content={"ZipFile": archive})
    with_it = {"Layers": [layer["LayerVersionArn"]], "EphemeralStorage": {"Size": 1024}}
    node = {"Runtime": "nodejs22.x", "Code": {"ZipFile": "exports.handler = async () => 1"}}
    made = {"Role": role(), "Python": function("Role"), "Node": function("Role")}
    made["Python"]["Properties"] |= with_it
    made["Node"]["Properties"] |= with_it | node
    stack = deploy(functions.aws, made)
    names = {"Node"} if namespaces.available() else {"Node", "Python"}
    dropped = {
        (one.logical_id, one.property)
        for one in functions.aws.dropped_properties()
        if one.stack == stack.name
    }
    assert dropped == {(name, what) for name in names for what in ("Layers", "EphemeralStorage")}
