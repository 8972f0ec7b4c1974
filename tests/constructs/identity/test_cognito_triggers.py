"""Cognito triggers: the functions of a pool, its permission to invoke them, and what Cognito refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.identity.cognito_triggers import CognitoTriggers, Trigger
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
NEW = Trigger(code=CODE, handler="index.handler")
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:theirs"


def function(stack: Stack, timeout: Duration | None = None, id: str = "Mine") -> lambda_.Function:
    return lambda_.Function(
        stack, id, code=CODE, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_14, timeout=timeout
    )


def only(resources: Resources, kind: str) -> dict[str, Any]:
    """The properties of the only resource of a type."""
    (found,) = resources.all(kind).values()
    return found


@stack_with
def four(stack: Stack) -> None:
    CognitoTriggers(
        stack,
        "Users",
        pre_sign_up=NEW,
        post_confirmation=NEW,
        post_authentication=NEW,
        pre_token_generation=NEW,
    )


def test_each_trigger_has_a_function_that_only_this_pool_may_invoke(four: Resources) -> None:
    (pool,) = four.all("AWS::Cognito::UserPool")
    config = only(four, "AWS::Cognito::UserPool")["LambdaConfig"]
    versioned = config.pop("PreTokenGenerationConfig")
    assert versioned["LambdaVersion"] == "V2_0"
    assert sorted(config) == ["PostAuthentication", "PostConfirmation", "PreSignUp"]
    functions = [one["Fn::GetAtt"][0] for one in (*config.values(), versioned["LambdaArn"])]
    assert sorted(functions) == sorted(four.all("AWS::Lambda::Function"))
    permissions = four.all("AWS::Lambda::Permission").values()
    assert sorted(one["FunctionName"]["Fn::GetAtt"][0] for one in permissions) == sorted(functions)
    for one in permissions:
        assert one["Principal"] == "cognito-idp.amazonaws.com"
        assert one["SourceArn"] == {"Fn::GetAtt": [pool, "Arn"]}


def test_a_new_function_times_out_when_cognito_does(four: Resources) -> None:
    assert {one["Timeout"] for one in four.all("AWS::Lambda::Function").values()} == {5}


def test_a_new_pool_is_retained_and_takes_confirmed_addresses_only(four: Resources) -> None:
    (name,) = four.all("AWS::Cognito::UserPool")
    pool = four.template["Resources"][name]
    assert pool["DeletionPolicy"] == "Retain"
    properties = pool["Properties"]
    assert (properties["DeletionProtection"], properties["UserPoolTier"]) == ("ACTIVE", "ESSENTIALS")
    assert (properties["UsernameAttributes"], properties["AutoVerifiedAttributes"]) == (["email"], ["email"])
    assert properties["UsernameConfiguration"] == {"CaseSensitive": False}
    assert properties["Policies"]["PasswordPolicy"]["MinimumLength"] == 12
    assert properties["EnabledMfas"] == ["SOFTWARE_TOKEN_MFA"]


def test_a_pool_that_is_deleted_with_the_stack_is_not_protected() -> None:
    stack = Stack(App(), "S")
    CognitoTriggers(stack, "Users", pre_sign_up=NEW, removal_policy=RemovalPolicy.DESTROY)
    found = Template.from_stack(stack).find_resources("AWS::Cognito::UserPool")
    (pool,) = found.values()
    assert pool["DeletionPolicy"] == "Delete"
    assert pool["Properties"].get("DeletionProtection") != "ACTIVE"


@pytest.mark.parametrize("kind", ["alias", "version", "function"])
def test_an_existing_function_is_used_as_it_is(kind: str) -> None:
    stack = Stack(App(), "S")
    mine = function(stack)
    target = {"alias": mine.add_alias("live"), "version": mine.current_version, "function": mine}[kind]
    triggers = CognitoTriggers(stack, "Users", pre_sign_up=Trigger(function=target))
    assert triggers.functions == {"pre_sign_up": target}
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Lambda::Function", 1)
    arn = stack.resolve(target.function_arn)
    template.has_resource_properties("AWS::Cognito::UserPool", {"LambdaConfig": {"PreSignUp": arn}})
    template.has_resource_properties("AWS::Lambda::Permission", {"FunctionName": arn})


def test_the_pool_may_be_in_another_stack() -> None:
    app = App()
    pool = cognito.UserPool(Stack(app, "Theirs"), "Pool")
    mine = Stack(app, "Mine")
    triggers = CognitoTriggers(mine, "Users", pre_sign_up=NEW, user_pool=pool)
    assert triggers.user_pool is pool
    assembly = app.synth()
    theirs = assembly.get_stack_by_name("Theirs").template["Resources"].values()
    (owned,) = (one for one in theirs if one["Type"] == "AWS::Cognito::UserPool")
    assert list(owned["Properties"]["LambdaConfig"]) == ["PreSignUp"]
    assert "AWS::Cognito::UserPool" not in str(assembly.get_stack_by_name("Mine").template)


def test_other_triggers_are_added_to_the_pool() -> None:
    stack = Stack(App(), "S")
    triggers = CognitoTriggers(stack, "Users", pre_sign_up=NEW)
    triggers.user_pool.add_trigger(cognito.UserPoolOperation.PRE_AUTHENTICATION, function(stack))
    config = {"PreSignUp": Match.any_value(), "PreAuthentication": Match.any_value()}
    Template.from_stack(stack).has_resource_properties("AWS::Cognito::UserPool", {"LambdaConfig": config})


# --- What Cognito does not allow


def test_a_pool_without_a_trigger_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^no trigger: give at least one of pre_sign_up, post_confirmation"):
        CognitoTriggers(Stack(App(), "S"), "Users")


@pytest.mark.parametrize("seconds", [6, 900])
def test_a_function_that_runs_longer_than_cognito_waits_is_refused(seconds: int) -> None:
    timeout, stack = Duration.seconds(seconds), Stack(App(), "S")
    message = f"timeout={seconds}: Cognito allows 1 to 5 seconds"
    with pytest.raises(ValueError, match=f"^function_options.{message}"):
        Trigger(code=CODE, function_options=FunctionOptions(timeout=timeout))
    mine = function(stack, timeout)
    for target in (mine, mine.current_version, mine.add_alias("live")):
        with pytest.raises(ValueError, match=f"^function.{message}"):
            Trigger(function=target)


@pytest.mark.parametrize("seconds", [None, 1, 5])
def test_a_function_that_answers_in_time_is_accepted(seconds: int | None) -> None:
    timeout = Duration.seconds(seconds) if seconds else None
    Trigger(function=function(Stack(App(), "S"), timeout))
    Trigger(code=CODE, function_options=FunctionOptions(timeout=timeout))


def test_a_timeout_that_is_known_at_deployment_only_is_accepted() -> None:
    parameter = CfnParameter(Stack(App(), "S"), "Seconds", type="Number")
    Trigger(code=CODE, function_options=FunctionOptions(timeout=Duration.seconds(parameter.value_as_number)))


def test_a_warning_says_what_the_timeout_of_an_imported_function_must_be() -> None:
    stack = Stack(App(), "S", env=Environment(account="123456789012", region="eu-west-1"))
    theirs = lambda_.Function.from_function_attributes(
        stack, "Theirs", function_arn=ARN, same_environment=True
    )
    CognitoTriggers(stack, "Users", pre_sign_up=Trigger(function=theirs))
    Annotations.from_stack(stack).has_warning("*", Match.string_like_regexp("Cognito waits 5 seconds"))


def test_an_imported_pool_is_refused_with_the_remedy() -> None:
    stack = Stack(App(), "S")
    pool: Any = cognito.UserPool.from_user_pool_id(stack, "Theirs", "eu-west-1_abc")
    with pytest.raises(ValueError, match=r"make CognitoTriggers in the app that makes the pool"):
        CognitoTriggers(stack, "Users", pre_sign_up=NEW, user_pool=pool)


@pytest.mark.parametrize("version", [cognito.LambdaVersion.V2_0, cognito.LambdaVersion.V3_0])
def test_claims_of_access_tokens_need_the_plan_essentials(version: cognito.LambdaVersion) -> None:
    stack = Stack(App(), "S")
    lite = cognito.UserPool(stack, "Pool", feature_plan=cognito.FeaturePlan.LITE)
    message = f"lambda_version={version.name}: the user pool has the plan Lite, which allows only V1_0"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        CognitoTriggers(stack, "Users", pre_token_generation=NEW, lambda_version=version, user_pool=lite)
    first = cognito.LambdaVersion.V1_0
    CognitoTriggers(stack, "Users", pre_token_generation=NEW, lambda_version=first, user_pool=lite)
    details = {"PreTokenGenerationConfig": {"LambdaVersion": "V1_0"}}
    Template.from_stack(stack).has_resource_properties("AWS::Cognito::UserPool", {"LambdaConfig": details})


def test_the_plan_does_not_matter_without_claims() -> None:
    stack = Stack(App(), "S")
    lite = cognito.UserPool(stack, "Pool", feature_plan=cognito.FeaturePlan.LITE)
    CognitoTriggers(stack, "Users", pre_sign_up=NEW, user_pool=lite)


@pytest.mark.parametrize(
    "given", [{}, {"code": CODE, "function": True}, {"handler": "a.b", "function": True}]
)
def test_a_trigger_has_either_code_or_a_function(given: dict[str, Any]) -> None:
    if "function" in given:
        given = {**given, "function": function(Stack(App(), "S"))}
    with pytest.raises(ValueError, match=r"missing|cannot be combined with function"):
        Trigger(**given)
