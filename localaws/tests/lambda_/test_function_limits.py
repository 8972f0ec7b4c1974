"""Functions, payloads and concurrency that Lambda refuses, through its API and in CloudFormation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.stacks import DeploymentFailedError, deploy, function, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local

HANDLER = "def handler(event, context): return event"
BAD_VALUE = "InvalidParameterValueException"


def variables(**values: str) -> dict[str, Any]:
    return {"Environment": {"Variables": values}}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"Timeout": 901}, "ValidationException", "Value '901' at 'timeout' failed to satisfy constraint"),
    ({"MemorySize": 10_241}, "ValidationException", "must have value less than or equal to 10240"),
    ({"Description": "x" * 257}, "ValidationException", "at 'description' failed"),
    (variables(AWS_REGION="x"), BAD_VALUE, "Reserved keys used in this request: AWS_REGION"),
    (variables(_HANDLER="x"), "ValidationException", "Map keys must satisfy constraint"),
    (variables(A="x"), "ValidationException", "Map keys must satisfy constraint"),
    (variables(MUCH="x" * 4096), BAD_VALUE, "exceeded the 4KB limit"),
    ({"Runtime": "python2.7"}, BAD_VALUE, "The runtime parameter of python2.7 is no longer supported"),
    ({"Runtime": "python9"}, BAD_VALUE, "Value python9 at 'runtime' failed to satisfy constraint"),
]
NAMES = [("my fn", "regular expression pattern"), ("x" * 65, "length less than or equal to 64")]


def refused(code: str, text: str, call: Any, **request: Any) -> None:
    with pytest.raises(ClientError) as raised:
        call(**request)
    assert raised.value.response["Error"]["Code"] == code
    assert text in raised.value.response["Error"]["Message"]


@pytest.fixture(scope="module")
def existing(local_aws: LocalAws) -> str:
    return Functions(local_aws).make(HANDLER)


@pytest.mark.parametrize(("settings", "code", "text"), REFUSED)
def test_settings_are_refused(
    functions: Functions, existing: str, settings: dict[str, Any], code: str, text: str
) -> None:
    client = functions.aws.client("lambda")
    refused(code, text, functions.make, source=HANDLER, **settings)
    refused(code, text, client.update_function_configuration, FunctionName=existing, **settings)
    made = function("Role")
    made["Properties"] |= settings
    with pytest.raises(DeploymentFailedError) as raised:
        deploy(functions.aws, {"Role": role(), "Function": made})
    assert text in str(raised.value)


# botocore itself refuses these in requests.
@pytest.mark.parametrize(("setting", "value", "low"), [("Timeout", 0, 1), ("MemorySize", 127, 128)])
def test_a_template_with_too_little_is_refused(
    local_aws: LocalAws, setting: str, value: int, low: int
) -> None:
    made = function("Role")
    made["Properties"][setting] = value
    with pytest.raises(DeploymentFailedError, match=f"must have value greater than or equal to {low}"):
        deploy(local_aws, {"Role": role(), "Function": made})


@pytest.mark.parametrize(("name", "text"), NAMES)
def test_a_name_is_refused(functions: Functions, name: str, text: str) -> None:
    request = {"Runtime": "python3.13", "Handler": "a.b", "Role": functions.role(), "Code": {"ZipFile": b"x"}}
    create = functions.aws.client("lambda").create_function
    refused("ValidationException", text, create, FunctionName=name, **request)
    made = function("Role")
    made["Properties"]["FunctionName"] = name
    with pytest.raises(DeploymentFailedError) as raised:
        deploy(functions.aws, {"Role": role(), "Function": made})
    assert text in str(raised.value)


def test_one_hundred_executions_stay_unreserved(functions: Functions, existing: str) -> None:
    client, text = functions.aws.client("lambda"), "below its minimum value of [100]"
    put = client.put_function_concurrency
    refused(BAD_VALUE, text, put, FunctionName=existing, ReservedConcurrentExecutions=901)
    put(FunctionName=existing, ReservedConcurrentExecutions=900)
    put(FunctionName=existing, ReservedConcurrentExecutions=899)  # its own does not count twice
    refused(BAD_VALUE, text, put, FunctionName=functions.make(HANDLER), ReservedConcurrentExecutions=2)
    made = function("Role")
    made["Properties"]["ReservedConcurrentExecutions"] = 2
    with pytest.raises(DeploymentFailedError) as raised:
        deploy(functions.aws, {"Role": role(), "Function": made})
    assert text in str(raised.value)
    client.delete_function_concurrency(FunctionName=existing)


def test_snap_start_excludes_provisioned_concurrency(functions: Functions) -> None:
    client, text = functions.aws.client("lambda"), "not supported for functions enabled with SnapStart"
    snap: dict[str, Any] = {"SnapStart": {"ApplyOn": "PublishedVersions"}}
    name, wanted = functions.make(HANDLER, **snap), {"ProvisionedConcurrentExecutions": 1}
    version = client.publish_version(FunctionName=name)["Version"]
    client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    for qualifier in (version, "live"):
        request = {"FunctionName": name, "Qualifier": qualifier, **wanted}
        refused(BAD_VALUE, text, client.put_provisioned_concurrency_config, **request)
    made = function("Role")
    made["Properties"] |= snap
    version_of = {"FunctionName": ref("Function")}
    alias = {"Name": "live", "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]}, **version_of}
    resources = {
        "Role": role(),
        "Function": made,
        "Version": {"Type": "AWS::Lambda::Version", "Properties": version_of},
    }
    both: list[dict[str, Any]] = [
        {
            "Version": {
                "Type": "AWS::Lambda::Version",
                "Properties": {**version_of, "ProvisionedConcurrencyConfig": wanted},
            }
        },
        {
            "Alias": {
                "Type": "AWS::Lambda::Alias",
                "Properties": {**alias, "ProvisionedConcurrencyConfig": wanted},
            }
        },
    ]
    for more in both:
        with pytest.raises(DeploymentFailedError, match=text):
            deploy(functions.aws, resources | more)


def test_a_policy_has_at_most_20_kb(functions: Functions) -> None:
    name, client = functions.make("def handler(event, context): ..."), functions.aws.client("lambda")
    given = {"FunctionName": name, "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"}

    def add(number: int, **more: Any) -> None:
        arn = functions.arn("sns", "t" * 900)
        client.add_permission(**given, StatementId=f"s{number}", SourceArn=arn, **more)

    for number in range(17):
        add(number)
    with pytest.raises(ClientError, match=r"The final policy size \(2\d{4}\) is bigger") as error:
        add(17)
    assert error.value.response["Error"]["Code"] == "PolicyLengthExceededException"
    assert len(json.loads(client.get_policy(FunctionName=name)["Policy"])["Statement"]) == 17
    client.publish_version(FunctionName=name)
    add(99, Qualifier="1")  # each version and alias has a policy of its own
