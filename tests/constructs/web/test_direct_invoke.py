"""DirectInvoke: which callers may invoke a function, and what each of them needs for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Environment, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

from cdk_lambda_patterns import AsyncOptions, HardenedFunction
from cdk_lambda_patterns.web.direct_invoke import DirectInvoke
from tests.templates import Resources, read_templates, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:charges"
OTHER, ORGANIZATION = "111122223333", "o-a1b2c3d4e5"
BUCKET = "arn:aws:s3:::photos"


def make(stack: Stack, id: str = "Charges", **more: Any) -> DirectInvoke:
    function = HardenedFunction(stack, f"{id}Function", code=CODE, asynchronous=AsyncOptions())
    return DirectInvoke(stack, id, function=function, **more)


@stack_with
def callers(stack: Stack) -> None:
    charges = make(stack, alias_name="live")
    charges.grant_invoke(HardenedFunction(stack, "Shop", code=CODE))
    charges.grant_invoke(iam.ArnPrincipal(f"arn:aws:iam::{OTHER}:role/shop"))
    charges.grant_invoke_to_account(OTHER)
    charges.grant_invoke_to_account(OTHER)  # again: nothing changes
    charges.grant_invoke_to_account("444455556666", organization_id=ORGANIZATION)
    charges.grant_invoke_to_organization(ORGANIZATION)
    charges.grant_invoke_to_service("s3.amazonaws.com", source_arn=BUCKET, source_account=OTHER)
    charges.grant_invoke_to_service("iot.amazonaws.com", source_account=OTHER)


def permissions(resources: Resources) -> list[dict[str, Any]]:
    """The permissions of a template, without the target and the action, which are the same in all."""
    found = list(resources.all("AWS::Lambda::Permission").values())
    (alias,) = resources.all("AWS::Lambda::Alias")
    assert all(one.pop("FunctionName") == {"Ref": alias} for one in found)
    assert all(one.pop("Action") == "lambda:InvokeFunction" for one in found)
    return found


def test_each_caller_of_another_account_gets_a_statement_on_the_alias(callers: Resources) -> None:
    def order(one: dict[str, Any]) -> str:
        return str(one["Principal"])

    expected = [
        {"Principal": f"arn:aws:iam::{OTHER}:role/shop"},
        {"Principal": OTHER},
        {"Principal": "444455556666", "PrincipalOrgID": ORGANIZATION},
        {"Principal": "*", "PrincipalOrgID": ORGANIZATION},
        {"Principal": "s3.amazonaws.com", "SourceArn": BUCKET, "SourceAccount": OTHER},
        {"Principal": "iot.amazonaws.com", "SourceAccount": OTHER},
    ]
    assert sorted(permissions(callers), key=order) == sorted(expected, key=order)


def test_a_caller_of_this_account_gets_an_identity_policy_for_the_alias_only(callers: Resources) -> None:
    (alias,) = callers.all("AWS::Lambda::Alias")
    statements = callers.statements("ShopServiceRole")
    (invoke,) = (one for one in statements if one["Action"] == "lambda:InvokeFunction")
    assert invoke["Resource"] == {"Ref": alias}


def test_the_alias_has_the_settings_for_asynchronous_invocations(callers: Resources) -> None:
    configured = callers.all("AWS::Lambda::EventInvokeConfig").values()
    assert sorted(one["Qualifier"] for one in configured) == ["$LATEST", "live"]
    assert len({str(one["DestinationConfig"]) for one in configured}) == 1


@stack_with
def unqualified(stack: Stack) -> None:
    make(stack).grant_invoke_to_account(OTHER)


def test_without_an_alias_callers_invoke_the_function_itself(unqualified: Resources) -> None:
    assert not unqualified.all("AWS::Lambda::Alias")
    (function,) = unqualified.all("AWS::Lambda::Function")
    assert unqualified.only("AWS::Lambda::Permission")["FunctionName"] == {"Fn::GetAtt": [function, "Arn"]}


def test_ids_that_are_known_only_at_deployment_are_accepted_and_logical_ids_are_stable(
    tmp_path: Path,
) -> None:
    def logical_ids(folder: Path, tokens_before: int) -> set[str]:
        app = App(outdir=str(folder), builtin_cloud_formation_validation=False)
        stack = Stack(app, "S")
        for number in range(tokens_before):
            Fn.import_value(f"Unused{number}")
        charges = make(stack)
        charges.grant_invoke_to_account(Fn.import_value("Account"))
        charges.grant_invoke_to_organization(Fn.import_value("Organization"))
        app.synth()
        return set(read_templates(folder)["S"].all("AWS::Lambda::Permission"))

    first = logical_ids(tmp_path / "a", 0)
    assert len(first) == 2
    assert logical_ids(tmp_path / "b", 3) == first


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda one: one.grant_invoke_to_account("1111"), "account='1111': give 12 digits"),
        (lambda one: one.grant_invoke_to_account("\u0661" * 12), "give 12 digits"),
        (
            lambda one: one.grant_invoke_to_account(OTHER, organization_id="o-1"),
            "organization_id='o-1': give an id",
        ),
        (lambda one: one.grant_invoke_to_organization("r-abcd"), "organization_id='r-abcd'"),
        (lambda one: one.grant_invoke_to_service("s3"), "service='s3': give a service principal"),
        (
            lambda one: one.grant_invoke_to_service("s3.amazonaws.com"),
            "without source_arn or source_account",
        ),
        (
            lambda one: one.grant_invoke_to_service("s3.amazonaws.com", source_arn=BUCKET),
            f"source_arn='{BUCKET}': it names no account",
        ),
        (
            lambda one: one.grant_invoke_to_service("s3.amazonaws.com", source_account="1"),
            "source_account='1': give 12 digits",
        ),
        (lambda one: one.grant_invoke(iam.AnyPrincipal()), "every AWS account could invoke"),
        (lambda one: one.grant_invoke(iam.StarPrincipal()), "every AWS account could invoke"),
        (
            lambda one: one.grant_invoke(iam.ServicePrincipal("sns.amazonaws.com")),
            "use grant_invoke_to_service",
        ),
    ],
)
def test_a_caller_that_is_too_wide_or_malformed_is_rejected(
    call: Callable[[DirectInvoke], object], message: str
) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is compared below
        call(make(Stack(App(), "S")))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "grant",
    [
        lambda one: one.grant_invoke(iam.AccountPrincipal(OTHER)),
        lambda one: one.grant_invoke_to_account(OTHER),
        lambda one: one.grant_invoke_to_organization(ORGANIZATION),
        lambda one: one.grant_invoke_to_service("iot.amazonaws.com", source_account=OTHER),
    ],
)
def test_a_statement_that_the_cdk_would_silently_leave_out_is_an_error(
    grant: Callable[[DirectInvoke], object],
) -> None:
    stack = Stack(App(), "S")
    imported = lambda_.Function.from_function_arn(stack, "Theirs", ARN)
    with pytest.raises(ValueError, match="the policy of an imported function cannot be changed here"):
        grant(DirectInvoke(stack, "Charges", function=imported))


def test_an_imported_function_of_the_stacks_account_can_be_shared() -> None:
    stack = Stack(App(), "S", env=Environment(account="123456789012", region="eu-west-1"))
    imported = lambda_.Function.from_function_arn(stack, "Ours", ARN)
    DirectInvoke(stack, "Charges", function=imported).grant_invoke_to_account(OTHER)


def test_a_bucket_of_the_same_stack_is_named_with_its_account(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    stack = Stack(app, "S")
    bucket = s3.Bucket(stack, "Bucket")
    charges = make(stack)
    with pytest.raises(ValueError, match="it names no account"):
        charges.grant_invoke_to_service("s3.amazonaws.com", source_arn=bucket.bucket_arn)
    for one in (bucket, s3.Bucket(stack, "Other")):
        charges.grant_invoke_to_service(
            "s3.amazonaws.com", source_arn=one.bucket_arn, source_account=stack.account
        )
    app.synth()
    permissions = read_templates(tmp_path)["S"].all("AWS::Lambda::Permission").values()
    assert [one["SourceAccount"] for one in permissions] == [{"Ref": "AWS::AccountId"}] * 2


def test_a_role_of_this_account_may_invoke_an_imported_function() -> None:
    stack = Stack(App(), "S")
    imported = lambda_.Function.from_function_arn(stack, "Theirs", ARN)
    shop = HardenedFunction(stack, "Shop", code=CODE)
    assert DirectInvoke(stack, "Charges", function=imported).grant_invoke(shop).success


@pytest.mark.parametrize("name", ["1", "a b", ""])
def test_a_name_that_lambda_refuses_for_an_alias_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="alias_name="):
        make(Stack(App(), "S"), alias_name=name)


def test_an_imported_function_has_no_alias_here() -> None:
    stack = Stack(App(), "S")
    imported = lambda_.Function.from_function_arn(stack, "Theirs", ARN)
    with pytest.raises(ValueError, match="leave alias_name out"):
        DirectInvoke(stack, "Charges", function=imported, alias_name="live")


def test_an_arn_of_the_unpublished_version_is_refused() -> None:
    stack = Stack(App(), "S")
    latest = lambda_.Function.from_function_arn(stack, "Theirs", f"{ARN}:$LATEST")
    with pytest.raises(ValueError, match="import the function without it"):
        DirectInvoke(stack, "Charges", function=latest)


def test_an_alias_that_another_construct_makes_is_refused() -> None:
    stack = Stack(App(), "Stack")
    function = HardenedFunction(stack, "Function", code=CODE)
    DirectInvoke(stack, "One", function=function, alias_name="live")
    with pytest.raises(
        ValueError, match="the name of an alias is unique for its function, and Stack/One has it"
    ):
        DirectInvoke(stack, "Two", function=function, alias_name="live")
