"""Provisioned concurrency of versions and aliases."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.stacks import deploy, function, ref, role

pytestmark = pytest.mark.local

SOURCE = """
import os

def handler(event, context):
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""


def published(functions: Functions) -> str:
    """A function with version 1 behind the alias `live`."""
    client, name = functions.aws.client("lambda"), functions.make(SOURCE)
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    return name


def put(functions: Functions, name: str, qualifier: str, count: int = 2) -> None:
    """Configure provisioned concurrency."""
    functions.aws.client("lambda").put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )


def test_an_alias_has_it_and_its_version_sees_it(functions: Functions) -> None:
    name, client = published(functions), functions.aws.client("lambda")
    assert functions.invoke(name, qualifier="1").payload == "on-demand"
    client.update_function_configuration(FunctionName=name, Description="changed")
    client.publish_version(FunctionName=name)
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    put(functions, name, "live")
    found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
    assert (found["Status"], found["RequestedProvisionedConcurrentExecutions"]) == ("READY", 2)
    assert functions.invoke(name, qualifier="live").payload == "provisioned-concurrency"
    assert functions.invoke(name).payload == "on-demand"
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")


def test_an_unpublished_version_cannot_have_it(functions: Functions) -> None:
    name = published(functions)
    functions.aws.client("lambda").create_alias(FunctionName=name, Name="latest", FunctionVersion="$LATEST")
    for qualifier in ("$LATEST", "latest"):
        with pytest.raises(ClientError, match="cannot be applied to unpublished function versions"):
            put(functions, name, qualifier)


def test_an_alias_and_its_version_cannot_both_have_it(functions: Functions) -> None:
    name = published(functions)
    put(functions, name, "1")
    with pytest.raises(ClientError, match="on an already Provisioned version"):
        put(functions, name, "live")
    put(functions, name, "1", 3)  # a new number for the same one


def test_there_is_no_more_than_is_reserved_for_the_function(functions: Functions) -> None:
    name, client = published(functions), functions.aws.client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    with pytest.raises(ClientError, match="should not be greater than the reservedConcurrentExecution"):
        put(functions, name, "live", 3)
    put(functions, name, "live", 2)


def test_a_template_gives_it_to_an_alias(functions: Functions) -> None:
    resources = {
        "Role": role(),
        "Function": function("Role", SOURCE),
        "Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": ref("Function")}},
        "Alias": {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "FunctionName": ref("Function"),
                "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]},
                "Name": "live",
                "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1},
            },
        },
    }
    stack = deploy(functions.aws, resources, {"Function": ref("Function")})
    name = stack.outputs["Function"]
    assert functions.invoke(name, qualifier="live").payload == "provisioned-concurrency"
    without = {
        **resources,
        "Alias": {**resources["Alias"], "Properties": dict(resources["Alias"]["Properties"])},
    }
    del without["Alias"]["Properties"]["ProvisionedConcurrencyConfig"]
    stack.update(without)
    client = functions.aws.client("lambda")
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")


def test_still_needed_the_emulator_accepts_it_for_anything_and_functions_do_not_see_it(
    stock_functions: Functions,
) -> None:
    name = published(stock_functions)
    put(stock_functions, name, "$LATEST")
    put(stock_functions, name, "live")
    source = "import os\ndef handler(event, context): return os.environ.get('AWS_LAMBDA_INITIALIZATION_TYPE')"
    other = stock_functions.make(source)
    stock_functions.aws.client("lambda").publish_version(FunctionName=other)
    put(stock_functions, other, "1")
    assert stock_functions.invoke(other, qualifier="1").payload != "provisioned-concurrency"
