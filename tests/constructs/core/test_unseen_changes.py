"""A function whose values can change without a new version: the CDK warns at synthesis."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Annotations, App, CfnParameter, SecretValue, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ssm as ssm
from aws_cdk.assertions import Annotations as Found
from aws_cdk.assertions import Match

from cdk_lambda_patterns.core.unseen_changes import WARNING
from cdk_lambda_patterns.delivery.canary_alias import CanaryAlias
from cdk_lambda_patterns.delivery.environments import NEWEST, Environments

INLINE = lambda_.Code.from_inline("def handler(event, context): return event")
Settings = Callable[[Stack], dict[str, Any]]


def function(stack: Stack, settings: dict[str, Any]) -> lambda_.Function:
    given: dict[str, Any] = {
        "code": INLINE,
        "handler": "index.handler",
        "runtime": lambda_.Runtime.PYTHON_3_13,
    } | settings
    return lambda_.Function(stack, "Worker", **given)


def warnings_of(stack: Stack) -> list[str]:
    found = Found.from_stack(stack).find_warning("*", Match.string_like_regexp(WARNING))
    return [str(one.entry.data) for one in found]


def bucket(stack: Stack) -> s3.IBucket:
    return s3.Bucket.from_bucket_name(stack, "Code", "code")


UNSEEN: dict[str, tuple[Settings, str]] = {
    "a parameter": (
        lambda stack: {"environment": {"TARIFF": CfnParameter(stack, "Tariff").value_as_string}},
        "environment.variables.TARIFF is the parameter Tariff",
    ),
    "a parameter inside of a value": (
        lambda stack: {"environment": {"URL": f"https://{CfnParameter(stack, 'Host').value_as_string}/"}},
        "environment.variables.URL is the parameter Host",
    ),
    "a parameter of the memory size": (
        lambda stack: {
            "memory_size": CfnParameter(stack, "Memory", type="Number", default=128).value_as_number
        },
        "memorySize is the parameter Memory",
    ),
    "a parameter store value": (
        lambda stack: {
            "environment": {"A": ssm.StringParameter.value_for_string_parameter(stack, "/tariff")}
        },
        "environment.variables.A is the parameter Ssm",
    ),
    "a secret": (
        lambda _: {"environment": {"A": SecretValue.secrets_manager("orders").unsafe_unwrap()}},
        "environment.variables.A is read from secretsmanager",
    ),
    "a secure parameter": (
        lambda _: {"environment": {"A": SecretValue.ssm_secure("/orders").unsafe_unwrap()}},
        "environment.variables.A is read from ssm-secure",
    ),
    "code from a bucket": (
        lambda stack: {"code": lambda_.Code.from_bucket(bucket(stack), "orders.zip")},
        "code from a bucket without object_version (key orders.zip)",
    ),
    "code from parameters": (
        lambda _: {"code": lambda_.Code.from_cfn_parameters()},
        "code from a bucket without object_version",
    ),
    "a parameter as object version": (
        lambda stack: {
            "code": lambda_.Code.from_bucket(
                bucket(stack), "orders.zip", CfnParameter(stack, "Version").value_as_string
            )
        },
        "code whose object version is known only when the stack is deployed",
    ),
    "an image with a tag": (
        lambda stack: {
            "code": lambda_.Code.from_ecr_image(
                ecr.Repository.from_repository_name(stack, "Images", "orders"), tag_or_digest="latest"
            ),
            "handler": lambda_.Handler.FROM_IMAGE,
            "runtime": lambda_.Runtime.FROM_IMAGE,
        },
        "code from an image without digest",
    ),
}


@pytest.mark.parametrize(("settings", "what"), UNSEEN.values(), ids=UNSEEN)
def test_the_cdk_warns_of_a_value_that_changes_without_a_version(settings: Settings, what: str) -> None:
    stack = Stack(App(), "S")
    CanaryAlias(stack, "Live", function=function(stack, settings(stack)))
    [warning] = warnings_of(stack)
    assert what in warning
    assert "invalidate_version_based_on" in warning


SEEN: dict[str, Settings] = {
    "literals": lambda _: {"environment": {"A": "1", "B": "${not_a_parameter}"}},
    "a table": lambda stack: {
        "environment": {
            "TABLE": dynamodb.TableV2(
                stack,
                "Table",
                partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            ).table_name,
            "REGION": stack.region,
        }
    },
    "code with an object version": lambda stack: {
        "code": lambda_.Code.from_bucket(bucket(stack), "orders.zip", "v1")
    },
    "an asset": lambda _: {"code": lambda_.Code.from_asset("lambda_src/delivery/environments")},
    "a version of a secret": lambda _: {
        "environment": {
            "A": SecretValue.secrets_manager(
                "orders", version_id="11111111-2222-3333-4444-555555555555"
            ).unsafe_unwrap()
        }
    },
    "a version of a secure parameter": lambda _: {
        "environment": {"A": SecretValue.ssm_secure("/orders", "3").unsafe_unwrap()}
    },
    "an image with a digest": lambda stack: {
        "code": lambda_.Code.from_ecr_image(
            ecr.Repository.from_repository_name(stack, "Images", "orders"), tag_or_digest=f"sha256:{'a' * 64}"
        ),
        "handler": lambda_.Handler.FROM_IMAGE,
        "runtime": lambda_.Runtime.FROM_IMAGE,
    },
}


@pytest.mark.parametrize("settings", SEEN.values(), ids=SEEN)
def test_the_cdk_does_not_warn_of_values_in_the_template(settings: Settings) -> None:
    stack = Stack(App(), "S")
    CanaryAlias(stack, "Live", function=function(stack, settings(stack)))
    assert warnings_of(stack) == []


def test_environments_warn_too_and_of_what_is_added_later_and_it_can_be_acknowledged() -> None:
    stack = Stack(App(), "S")
    worker = function(stack, {})
    Environments(stack, "Environments", function=worker, aliases={"dev": NEWEST})
    worker.add_environment("TARIFF", CfnParameter(stack, "Tariff").value_as_string)
    assert len(warnings_of(stack)) == 1
    other = Stack(App(), "S")
    worker = function(other, {"environment": {"TARIFF": CfnParameter(other, "Tariff").value_as_string}})
    Environments(other, "Environments", function=worker, aliases={"dev": NEWEST})
    Annotations.of(worker).acknowledge_warning(WARNING)
    assert warnings_of(other) == []
