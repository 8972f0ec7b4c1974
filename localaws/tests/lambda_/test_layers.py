"""What Lambda refuses of the layers of a function, and layers named by their ARN."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, zipped
from localaws import LocalAws

pytestmark = pytest.mark.local

OTHER = "222222222222"
READ = "lambda:GetLayerVersion"
MEBIBYTE = 2**20


@pytest.fixture
def functions(local_aws: LocalAws) -> Functions:
    return Functions(local_aws)


def large(mebibytes: int) -> bytes:
    """A small archive of a large file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros", b"\0" * mebibytes * MEBIBYTE)
    return archive.getvalue()


def publish(aws: LocalAws, name: str = "", content: bytes = b"") -> str:
    """Publish a version of a layer, and return its ARN."""
    made = aws.client("lambda").publish_layer_version(
        LayerName=name or f"layer-{uuid.uuid4().hex[:8]}", Content={"ZipFile": content or zipped({"a": "b"})}
    )
    return str(made["LayerVersionArn"])


def refusal(call: Any, **parameters: Any) -> tuple[str, str]:
    """The code and the text of the error of a call."""
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_six_layers_and_two_versions_of_one_are_refused(functions: Functions) -> None:
    client = functions.aws.client("lambda")
    arns = [publish(functions.aws) for _ in range(6)]
    name = functions.make("handler = lambda *_: 1", Layers=arns[:5])
    second = publish(functions.aws, arns[0].split(":")[6])
    many = ("InvalidParameterValueException", "Cannot reference more than 5 layers.")
    assert refusal(client.update_function_configuration, FunctionName=name, Layers=arns) == many
    for pair in ([arns[0], second], [arns[0], arns[0]]):
        _, text = refusal(client.update_function_configuration, FunctionName=name, Layers=pair)
        assert text.endswith(f"function. {pair[0]} and {pair[1]} are versions of the same layer.")
    deployed = template(Layers=arns)
    assert "Cannot reference more than 5 layers." in failure_of(functions.aws, deployed)


def test_code_and_layers_have_250_mb_together(functions: Functions) -> None:
    client = functions.aws.client("lambda")
    layers = [publish(functions.aws, content=large(125)) for _ in range(2)]
    name = functions.make("handler = lambda *_: 1", Layers=layers[:1])
    code, text = refusal(client.update_function_configuration, FunctionName=name, Layers=layers)
    size = 2 * 125 * MEBIBYTE + len("handler = lambda *_: 1")
    assert code == "InvalidParameterValueException"
    assert text == (
        "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        f"The actual size is {size} bytes."
    )
    one = publish(functions.aws, content=large(1))
    said = failure_of(functions.aws, template(Layers=[*layers, one]))
    assert "Function code combined with layers exceeds" in said


def template(**properties: Any) -> str:
    """A template with a function."""
    function = {
        "Code": {"ZipFile": "def handler(event, context): ..."},
        "Runtime": "python3.13",
        "Handler": "index.handler",
        **properties,
    }
    return json.dumps({"Resources": {"Function": {"Type": "AWS::Lambda::Function", "Properties": function}}})


def failure_of(aws: LocalAws, body: str) -> str:
    """Deploy a template that has to fail, and return why."""
    client, name = aws.client("cloudformation"), f"stack-{uuid.uuid4().hex[:8]}"
    made = json.loads(body)
    made["Resources"]["Function"]["Properties"]["Role"] = Functions(aws).role()
    client.create_stack(StackName=name, TemplateBody=json.dumps(made))
    with pytest.raises(Exception, match="ROLLBACK"):
        client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    events = client.describe_stack_events(StackName=name)["StackEvents"]
    reasons = [event.get("ResourceStatusReason", "") for event in events]
    client.delete_stack(StackName=name)
    return " ".join(reasons)


def test_what_is_refused_uses_up_no_version(local_aws: LocalAws) -> None:
    client, name = local_aws.client("lambda"), f"layer-{uuid.uuid4().hex[:8]}"
    for content in (b"no archive", large(251)):
        refusal(client.publish_layer_version, LayerName=name, Content={"ZipFile": content})
    assert publish(local_aws, name).endswith(":1")
    refusal(client.publish_layer_version, LayerName=name, Content={"ZipFile": b"no archive"})
    assert publish(local_aws, name).endswith(":2")


def test_a_layer_may_be_named_by_its_arn(local_aws: LocalAws) -> None:
    client, arn = local_aws.client("lambda"), publish(local_aws)
    named: dict[str, Any] = {"LayerName": arn.rpartition(":")[0], "VersionNumber": 1}
    added = {"StatementId": "all", "Action": READ, "Principal": "*"}
    client.add_layer_version_permission(**named, **added)
    policy = json.loads(client.get_layer_version_policy(**named)["Policy"])
    assert [one["Resource"] for one in policy["Statement"]] == [arn]
    assert client.get_layer_version(**named)["LayerVersionArn"] == arn
    listed = client.list_layer_versions(LayerName=named["LayerName"])["LayerVersions"]
    assert [one["LayerVersionArn"] for one in listed] == [arn]
    other = local_aws.session_of(OTHER).client("lambda")
    assert other.get_layer_version(**named)["Version"] == 1
    for call, more in (
        (other.get_layer_version_policy, {}),
        (other.delete_layer_version, {}),
        (other.add_layer_version_permission, added | {"StatementId": "more"}),
        (other.remove_layer_version_permission, {"StatementId": "all"}),
    ):
        assert refusal(call, **named, **more)[0] == "AccessDeniedException"
    client.remove_layer_version_permission(**named, StatementId="all")
    assert refusal(other.get_layer_version, **named)[0] == "AccessDeniedException"
    client.delete_layer_version(**named)
    assert refusal(client.get_layer_version, **named)[0] == "ResourceNotFoundException"


def test_functions_keep_a_deleted_version_that_no_other_function_can_be_given(functions: Functions) -> None:
    client = functions.aws.client("lambda")
    arn = publish(functions.aws, content=zipped({"python/shared.py": "WORD = 'kept'"}))
    name = functions.make("import shared\ndef handler(*_): return shared.WORD", Layers=[arn])
    client.delete_layer_version(LayerName=arn.split(":")[6], VersionNumber=1)
    client.update_function_configuration(FunctionName=name, Description="a new environment")
    assert functions.invoke(name).payload == "kept"
    code, text = refusal(client.update_function_configuration, FunctionName=name, Layers=[arn])
    assert (code, text) == ("InvalidParameterValueException", f"Layer version {arn} does not exist.")


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_caller_needs_the_permission_to_read_the_version(functions: Functions, version: str) -> None:
    arn = publish(functions.aws)
    iam, user = functions.aws.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    name = functions.make("handler = lambda *_: 1")
    iam.create_user(UserName=user)
    statements = [
        {"Effect": "Allow", "Action": "lambda:UpdateFunctionConfiguration", "Resource": "*"},
        {"Effect": "Allow", "Action": READ, "Resource": f"{arn.rpartition(':')[0]}:{version}"},
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=policy)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    client = functions.aws.session.client(
        "lambda", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    if version == "1":
        assert client.get_layer_version(LayerName=arn.split(":")[6], VersionNumber=1)["Version"] == 1
        client.update_function_configuration(FunctionName=name, Layers=[arn])
    else:
        code, text = refusal(client.update_function_configuration, FunctionName=name, Layers=[arn])
        assert code == "AccessDeniedException"
        assert f"not authorized to perform: {READ} on resource: {arn}" in text
