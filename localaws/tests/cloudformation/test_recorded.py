"""A deployment reports what its handlers read without effect."""

from __future__ import annotations

import pytest

from helpers.lambda_functions import Functions
from helpers.stacks import arn, deploy, function, ref, role

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
