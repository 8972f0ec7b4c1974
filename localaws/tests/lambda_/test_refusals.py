"""Requests that Lambda refuses, besides those about limits of functions, mappings and aliases."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.lambda_functions import Functions, zipped
from helpers.refusals import Row, check, ids
from localaws import LocalAws

pytestmark = pytest.mark.local

ACCOUNT = "123456789012"
FUNCTION = "name of the function"  # replaced by that of a function, and ROLE by the ARN of a role
ROLE = "ARN of the role"
INVALID, VALUE = "ValidationException", "InvalidParameterValueException"
PRINCIPAL = "The provided principal was invalid. Please check the principal and try again."


def permission(**changes: Any) -> dict[str, Any]:
    given = {"StatementId": "one", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    return {"FunctionName": FUNCTION, **given, **changes}


def function(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"FunctionName": "new", "Runtime": "python3.13", "Handler": "index.handler"}
    code = {"ZipFile": zipped({"index.py": ""})}
    given |= {"Role": ROLE, "Code": code, **changes}
    return {name: value for name, value in given.items() if value is not None}


def settings(**given: Any) -> dict[str, Any]:
    return {"FunctionName": FUNCTION, **given}


MANY = {f"k{number}": "v" for number in range(51)}
REFUSED: list[Row] = [
    ("add_permission", permission(StatementId="a b"), INVALID, "Value 'a b' at 'statementId' failed"),
    ("add_permission", permission(StatementId="a" * 101), INVALID, "less than or equal to 100"),
    ("add_permission", permission(Action="s3:GetObject"), INVALID, "Value 's3:GetObject' at 'action' failed"),
    ("add_permission", permission(Principal="a b"), INVALID, "Value 'a b' at 'principal' failed"),
    ("add_permission", permission(Principal="s3"), VALUE, PRINCIPAL),
    ("add_permission", permission(Principal=f"arn:aws:iam::{ACCOUNT}:role/none"), VALUE, PRINCIPAL),
    ("add_permission", permission(SourceAccount="1"), INVALID, "Value '1' at 'sourceAccount' failed"),
    ("add_permission", permission(SourceArn="bucket"), INVALID, "Value 'bucket' at 'sourceArn' failed"),
    ("add_permission", permission(PrincipalOrgID="o"), INVALID, "Value 'o' at 'principalOrgID' failed"),
    ("create_function", function(Role="role"), INVALID, "Value 'role' at 'role' failed"),
    ("create_function", function(Handler=None), VALUE, "Runtime and Handler are mandatory parameters"),
    ("create_function", function(Handler="a b"), INVALID, "Value 'a b' at 'handler' failed"),
    ("create_function", function(Handler="a" * 129), INVALID, "less than or equal to 128"),
    ("create_function", function(Architectures=["arm"]), INVALID, "enum value set: [x86_64, arm64]"),
    ("create_function", function(Architectures=["arm64", "x86_64"]), INVALID, "less than or equal to 1"),
    ("create_function", function(EphemeralStorage={"Size": 511}), INVALID, "greater than or equal to 512"),
    ("create_function", function(EphemeralStorage={"Size": 10_241}), INVALID, "less than or equal to 10240"),
    (
        "create_function",
        function(TracingConfig={"Mode": "On"}),
        INVALID,
        "enum value set: [Active, PassThrough]",
    ),
    ("create_function", function(KMSKeyArn="key"), INVALID, "Value 'key' at 'kMSKeyArn' failed"),
    (
        "create_function",
        function(DeadLetterConfig={"TargetArn": "a"}),
        INVALID,
        "'deadLetterConfig.targetArn'",
    ),
    ("create_function", function(Tags=MANY), VALUE, "Number of tags exceeds resource tag limit."),
    ("create_function", function(Tags={"aws:a": "b"}), VALUE, "aws: prefixed tag key names are not allowed"),
    ("create_function", function(Tags={"a" * 129: "b"}), INVALID, "Map keys must satisfy constraint"),
    (
        "create_function",
        function(LoggingConfig={"LogFormat": "XML"}),
        INVALID,
        "enum value set: [JSON, Text]",
    ),
    (
        "create_function",
        function(LoggingConfig={"LogFormat": "Text", "SystemLogLevel": "INFO"}),
        VALUE,
        "LogFormat must be JSON",
    ),
    ("create_function", function(Code={"S3Bucket": "none-of-mine", "S3Key": "a"}), VALUE, "NoSuchBucket"),
    ("update_function_configuration", settings(Handler="a b"), INVALID, "Value 'a b' at 'handler' failed"),
    (
        "tag_resource",
        {"Resource": FUNCTION, "Tags": MANY},
        VALUE,
        "Number of tags exceeds resource tag limit.",
    ),
    ("publish_version", settings(Description="x" * 257), INVALID, "less than or equal to 256"),
    ("put_function_event_invoke_config", settings(MaximumEventAgeInSeconds=59), INVALID, "equal to 60"),
    (
        "put_function_event_invoke_config",
        settings(MaximumEventAgeInSeconds=21_601),
        INVALID,
        "equal to 21600",
    ),
    (
        "put_function_event_invoke_config",
        settings(MaximumRetryAttempts=3),
        INVALID,
        "less than or equal to 2",
    ),
    (
        "publish_layer_version",
        {"LayerName": "a b", "Content": {"ZipFile": zipped({"a": ""})}},
        INVALID,
        "Value 'a b' at 'layerName' failed",
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_request_is_refused(local_aws: LocalAws, existing: dict[str, str], row: Row) -> None:
    operation, parameters, code, text = row
    replaced = {**existing, FUNCTION: existing["ARN"]} if operation == "tag_resource" else existing
    given = {
        name: replaced.get(value, value) if isinstance(value, str) else value
        for name, value in parameters.items()
    }
    check(local_aws, "lambda", (operation, given, code, text))


@pytest.fixture(scope="module")
def existing(local_aws: LocalAws) -> dict[str, str]:
    """A function and its role."""
    functions = Functions(local_aws)
    name = functions.make("def handler(event, context): pass")
    return {FUNCTION: name, ROLE: functions.role(), "ARN": functions.arn("lambda", f"function:{name}")}


def test_principals_of_every_kind_are_accepted(functions: Functions) -> None:
    name, add = (
        functions.make("def handler(event, context): pass"),
        functions.aws.client("lambda").add_permission,
    )
    kinds = ("*", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", functions.role(), "logs.us-east-1.amazonaws.com")
    for number, principal in enumerate(kinds):
        add(**permission(FunctionName=name, Principal=principal, StatementId=str(number)))
