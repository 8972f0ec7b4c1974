"""Aliases with versions and weights that Lambda refuses fail, also in a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers import stacks
from helpers.lambda_functions import Functions, zipped

pytestmark = pytest.mark.local

SOURCE = "def handler(event, context): return {}"


def published(functions: Functions, **settings: Any) -> str:
    """A function with versions 1 and 2."""
    client, name = functions.aws.client("lambda"), functions.make(SOURCE.format(1), **settings)
    client.publish_version(FunctionName=name)
    client.update_function_code(FunctionName=name, ZipFile=zipped({"index.py": SOURCE.format(2)}))
    client.publish_version(FunctionName=name)
    return name


def refusal(functions: Functions, name: str, **alias: Any) -> tuple[str, str, int]:
    """The code, message and status of the error for an alias, which must not exist then."""
    client = functions.aws.client("lambda")
    with pytest.raises(ClientError) as refused:
        client.create_alias(FunctionName=name, **{"Name": "live", "FunctionVersion": "1"} | alias)
    assert client.list_aliases(FunctionName=name)["Aliases"] == []
    answer = refused.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return answer["Error"]["Code"], answer["Error"]["Message"], status


def weights(**share: float) -> dict[str, Mapping[str, float]]:
    """Routing to versions: `weights(v2=0.1)`."""
    return {"AdditionalVersionWeights": {version.strip("v"): weight for version, weight in share.items()}}


def test_a_version_that_does_not_exist_is_not_found(functions: Functions) -> None:
    name = published(functions)
    missing = functions.arn("lambda", f"function:{name}:9")
    expected = ("ResourceNotFoundException", f"Function not found: {missing}", 404)
    assert refusal(functions, name, FunctionVersion="9") == expected
    assert refusal(functions, name, RoutingConfig=weights(v9=0.1)) == expected


@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ({"Name": "7"}, "Value '7' at 'name' failed to satisfy constraint"),
        ({"Name": "$LATEST"}, "'$LATEST' at 'name'"),
        ({"Name": "x" * 129}, "less than or equal to 128"),
        ({"FunctionVersion": "live"}, "Value 'live' at 'functionVersion' failed"),
        (
            {"RoutingConfig": {"AdditionalVersionWeights": {"$LATEST": 0.1}}},
            "Map keys must satisfy constraint",
        ),
        ({"RoutingConfig": weights(v2=1.1)}, "Member must have value less than or equal to 1.0"),
    ],
)
def test_a_name_or_version_of_another_form_is_refused(
    functions: Functions, alias: dict[str, Any], said: str
) -> None:
    code, message, status = refusal(functions, published(functions), **alias)
    assert (code, status) == ("ValidationException", 400)
    assert said in message


@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ({"FunctionVersion": "$LATEST", "RoutingConfig": weights(v1=0.1)}, "$LATEST is not supported"),
        ({"RoutingConfig": weights(v1=0.1)}, "Invalid function version 1"),
        ({"FunctionVersion": "2", "RoutingConfig": weights(v1=0.1, v2=0.1)}, "cannot be greater than 1"),
    ],
)
def test_weights_go_to_one_other_published_version(
    functions: Functions, alias: dict[str, Any], said: str
) -> None:
    code, message, status = refusal(functions, published(functions), **alias)
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert said in message


def test_two_versions_share_role_and_dead_letter_queue(functions: Functions) -> None:
    name, client, queue = published(functions), functions.aws.client("lambda"), functions.queue()
    role = functions.role(("sqs:SendMessage", queue.arn))
    client.update_function_configuration(FunctionName=name, Role=role)
    client.publish_version(FunctionName=name)
    said = "Specified versions must be associated with the same execution role"
    assert refusal(functions, name, RoutingConfig=weights(v3=0.1))[1] == said
    client.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": queue.arn})
    client.publish_version(FunctionName=name)
    said = "Specified versions must have the same dead-letter queue configuration, or none"
    assert refusal(functions, name, FunctionVersion="3", RoutingConfig=weights(v4=0.1))[1] == said


def test_an_update_is_validated_with_its_result(functions: Functions) -> None:
    name, client = published(functions), functions.aws.client("lambda")
    alias = {"FunctionName": name, "Name": "live"}
    made = client.create_alias(**alias, FunctionVersion="1", RoutingConfig=weights(v2=0.1))
    for change in (
        {"FunctionVersion": "2"},
        {"FunctionVersion": "$LATEST"},
        {"RoutingConfig": weights(v9=0)},
    ):
        with pytest.raises(ClientError):
            client.update_alias(**alias, **change)
    now = client.get_alias(**alias)
    assert {key: now[key] for key in ("FunctionVersion", "RoutingConfig", "RevisionId")} == {
        key: made[key] for key in ("FunctionVersion", "RoutingConfig", "RevisionId")
    }
    changed = client.update_alias(**alias, FunctionVersion="2", RoutingConfig=weights())
    assert changed["FunctionVersion"] == "2"
    assert "RoutingConfig" not in changed


def template(version: str) -> stacks.Resources:
    """A function, a version of it, and an alias of some version."""
    alias = {"FunctionName": stacks.ref("Function"), "Name": "live", "FunctionVersion": version}
    return {
        "Role": stacks.role(),
        "Function": stacks.function("Role"),
        "One": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": stacks.ref("Function")}},
        "Live": {"Type": "AWS::Lambda::Alias", "DependsOn": "One", "Properties": alias},
    }


def test_a_deployment_of_a_wrong_version_is_rolled_back_with_lambdas_reason(functions: Functions) -> None:
    with pytest.raises(stacks.DeploymentFailedError, match=r"Function not found: .*:9 "):
        stacks.deploy(functions.aws, template("9"))
    outputs = {"Name": stacks.ref("Function")}
    stack = stacks.deploy(functions.aws, template("1"), outputs)
    where = {"FunctionName": stack.outputs["Name"], "Name": "live"}
    with pytest.raises(stacks.DeploymentFailedError, match=r"Function not found: .*:9 "):
        stack.update(template("9"), outputs)
    assert functions.aws.client("lambda").get_alias(**where)["FunctionVersion"] == "1"


def test_still_needed_the_stock_emulator_takes_any_version_and_any_weights(
    stock_functions: Functions,
) -> None:
    name, client = published(stock_functions), stock_functions.aws.client("lambda")
    client.create_alias(FunctionName=name, Name="7", FunctionVersion="9", RoutingConfig=weights(v8=7, v9=3))
