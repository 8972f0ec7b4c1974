"""A small cloud assembly, as `cdk synth` writes it, without an app."""

from __future__ import annotations

import json
from pathlib import Path

# A function that may not write to the table, and a property that has no effect.
RESOURCES = {
    "Table": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            "ContributorInsightsSpecification": {"Enabled": True},
        },
    },
    "Role": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                },
            },
            "ManagedPolicyArns": ["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"],
        },
    },
    "Handler886CB40B": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Environment": {"Variables": {"TABLE": {"Ref": "Table"}}},
            "Code": {
                "ZipFile": "import boto3, os\n"
                "def handler(event, context):\n"
                "    print('storing', event)\n"
                "    if event.get('only_print'): return event\n"
                "    boto3.client('dynamodb').put_item(TableName=os.environ['TABLE'], Item={})\n"
            },
        },
    },
}


def write_assembly(folder: Path, name: str = "Orders") -> None:
    """Write what `cdk synth` writes, without an app."""
    outputs = {"Table": {"Value": {"Ref": "Table"}}}
    (folder / f"{name}.json").write_text(json.dumps({"Resources": RESOURCES, "Outputs": outputs}))
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://unknown-account/unknown-region",
        "properties": {"templateFile": f"{name}.json"},
        "displayName": name,
    }
    (folder / "manifest.json").write_text(json.dumps({"version": "36.0.0", "artifacts": {name: stack}}))
