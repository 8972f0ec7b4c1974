"""FunctionUrl: whom a URL admits, with both permissions, and what Lambda or a browser would refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns import HardenedFunction
from cdk_lambda_patterns.web.function_url import FunctionUrl
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
NONE, AWS_IAM = lambda_.FunctionUrlAuthType.NONE, lambda_.FunctionUrlAuthType.AWS_IAM
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:notes"
OTHER, ORGANIZATION = "111122223333", "o-a1b2c3d4e5"
SEVEN = [one for one in lambda_.HttpMethod if one is not lambda_.HttpMethod.OPTIONS]
URL, FUNCTION = "lambda:InvokeFunctionUrl", "lambda:InvokeFunction"
OFFICE = {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}}
SIGNED = {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}
VIA_URL = {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}


def make(stack: Stack, *, auth_type: Any = AWS_IAM, **more: Any) -> FunctionUrl:
    """A URL of the stack's function; every refused construct leaves parts behind, so it gets a new id."""
    made = stack.node.try_find_child("Function")
    function = made if isinstance(made, HardenedFunction) else HardenedFunction(stack, "Function", code=CODE)
    new = f"Front{len(stack.node.children)}"
    return FunctionUrl(stack, new, function=function, auth_type=auth_type, **more)


@stack_with
def signed(stack: Stack) -> None:
    front = make(stack, alias_name="live")
    front.grant_invoke_url(HardenedFunction(stack, "Shop", code=CODE))
    front.grant_invoke_url(
        HardenedFunction(stack, "Office", code=CODE), source_cidrs=OFFICE["IpAddress"]["aws:SourceIp"]
    )
    front.grant_invoke_url(iam.ArnPrincipal(f"arn:aws:iam::{OTHER}:role/shop"))
    front.grant_invoke_url_to_account(OTHER)
    front.grant_invoke_url_to_account("444455556666", organization_id=ORGANIZATION)
    front.grant_invoke_url_to_organization(ORGANIZATION)


def test_a_signed_url_is_for_the_alias_and_admits_no_caller_by_itself(signed: Resources) -> None:
    (url,) = signed.all("AWS::Lambda::Url").values()
    assert (url["AuthType"], url["Qualifier"]) == ("AWS_IAM", "live")
    assert "Cors" not in url


def test_each_caller_of_another_account_gets_both_permissions_on_the_alias(signed: Resources) -> None:
    (alias,) = signed.all("AWS::Lambda::Alias")
    found: dict[Any, dict[str, Any]] = {}
    for one in signed.all("AWS::Lambda::Permission").values():
        assert one["FunctionName"] == {"Ref": alias}
        caller = (one["Principal"], one.get("PrincipalOrgID"))
        found.setdefault(caller, {})[one["Action"]] = (
            one.get("FunctionUrlAuthType"),
            one.get("InvokedViaFunctionUrl"),
        )
    both = {URL: ("AWS_IAM", None), FUNCTION: (None, True)}
    assert found == {
        (f"arn:aws:iam::{OTHER}:role/shop", None): both,
        (OTHER, None): both,
        ("444455556666", ORGANIZATION): both,
        ("*", ORGANIZATION): both,
    }


@pytest.mark.parametrize(("caller", "more"), [("Shop", {}), ("Office", OFFICE)])
def test_a_caller_of_this_account_gets_both_in_its_identity_policy(
    signed: Resources, caller: str, more: dict[str, Any]
) -> None:
    (alias,) = signed.all("AWS::Lambda::Alias")
    own = [one for one in signed.statements(f"{caller}ServiceRole") if "lambda:" in str(one["Action"])]
    assert all(one["Resource"] == {"Ref": alias} for one in own)
    conditions = {one["Action"]: {**one["Condition"]} for one in own}
    via = {
        "Bool": {"lambda:InvokedViaFunctionUrl": conditions[FUNCTION]["Bool"]["lambda:InvokedViaFunctionUrl"]}
    }
    assert str(via["Bool"]["lambda:InvokedViaFunctionUrl"]).lower() == "true"
    assert conditions == {URL: {**SIGNED, **more}, FUNCTION: {**via, **more}}


@stack_with
def public(stack: Stack) -> None:
    cors = lambda_.FunctionUrlCorsOptions(
        allowed_origins=["https://example.com"], allow_credentials=True, max_age=Duration.hours(1)
    )
    make(stack, auth_type=NONE, cors=cors)


def test_a_public_url_has_both_permissions_for_everybody(public: Resources) -> None:
    permissions = {one["Action"]: one for one in public.all("AWS::Lambda::Permission").values()}
    assert permissions[URL]["FunctionUrlAuthType"] == "NONE"
    assert permissions[FUNCTION]["InvokedViaFunctionUrl"] is True
    assert {one["Principal"] for one in permissions.values()} == {"*"}
    (url,) = public.all("AWS::Lambda::Url").values()
    assert url["Cors"]["AllowOrigins"] == ["https://example.com"]
    assert url["Cors"]["MaxAge"] == 3600
    assert "Qualifier" not in url


@stack_with
def public_from_the_office(stack: Stack) -> None:
    make(stack, auth_type=NONE, alias_name="live", source_cidrs=OFFICE["IpAddress"]["aws:SourceIp"])


def test_addresses_of_a_public_url_are_a_condition_of_its_only_policy(
    public_from_the_office: Resources,
) -> None:
    assert not public_from_the_office.all("AWS::Lambda::Permission")
    (alias,) = public_from_the_office.all("AWS::Lambda::Alias")
    (policy,) = public_from_the_office.all("AWS::Lambda::ResourcePolicy").values()
    assert policy["ResourceArn"] == {"Ref": alias}
    unsigned = {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}
    statements = policy["PolicyDocument"]["Statement"]
    assert {one["Action"]: one["Condition"] for one in statements} == {
        URL: {**unsigned, **OFFICE},
        FUNCTION: {**VIA_URL, **OFFICE},
    }
    assert all(one["Principal"] == "*" and one["Resource"] == {"Ref": alias} for one in statements)


@stack_with
def imported(stack: Stack) -> None:
    function = lambda_.Function.from_function_attributes(
        stack, "Function", function_arn=ARN, same_environment=True
    )
    FunctionUrl(stack, "Public", function=function, auth_type=NONE)
    elsewhere = lambda_.Function.from_function_arn(stack, "Elsewhere", f"{ARN}:live")
    FunctionUrl(stack, "Signed", function=elsewhere, auth_type=AWS_IAM).grant_invoke_url(
        HardenedFunction(stack, "Shop", code=CODE)
    )


def test_a_url_of_an_imported_function(imported: Resources) -> None:
    urls = imported.all("AWS::Lambda::Url").values()
    assert {one["TargetFunctionArn"] for one in urls} == {ARN, f"{ARN}:live"}
    assert len(imported.all("AWS::Lambda::Permission")) == 2


def test_two_urls_of_one_function() -> None:
    stack = Stack()
    function = HardenedFunction(stack, "Function", code=CODE)
    FunctionUrl(stack, "Public", function=function, auth_type=NONE)
    FunctionUrl(stack, "Live", function=function, auth_type=NONE, alias_name="live")
    assert len([one for one in stack.node.find_all() if isinstance(one, lambda_.CfnPermission)]) == 4


@pytest.fixture(scope="module")
def stack() -> Stack:
    """A stack for all that is refused."""
    return Stack(App(), "Stack", env=Environment(account="123456789012", region="eu-west-1"))


def refusal(stack: Stack, build: Callable[[Stack], object]) -> str:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - each test looks at the message
        build(stack)
    return str(refused.value)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda stack: make(stack, auth_type="NONE"), "auth_type='NONE'"),
        (lambda stack: make(stack, alias_name="7"), "alias_name='7'"),
        (lambda stack: make(stack, source_cidrs=["203.0.113.0/24"]), "give them to grant_invoke_url"),
        (lambda stack: make(stack, auth_type=NONE, source_cidrs=["203.0.113.0/24"]), "give alias_name"),
        (lambda stack: make(stack, auth_type=NONE, alias_name="g", source_cidrs=[]), "source_cidrs=[]"),
        (lambda stack: make(stack, auth_type=NONE, alias_name="h", source_cidrs=["10.1.0.0/16"]), "private"),
        (lambda stack: make(stack, auth_type=NONE, alias_name="i", source_cidrs=["203.0.113.1/24"]), "CIDR"),
        (
            lambda stack: make(
                stack, auth_type=NONE, alias_name="n", source_cidrs=["203.0.113.0/255.255.255.0"]
            ),
            "'203.0.113.0/255.255.255.0' is no CIDR block; give a CIDR block such as",
        ),
        (
            lambda stack: make(stack, auth_type=NONE, alias_name="b").grant_invoke_url_to_account(OTHER),
            "auth_type=NONE",
        ),
        (lambda stack: make(stack, alias_name="c").grant_invoke_url_to_account("1111"), "12 digits"),
        (
            lambda stack: make(stack, alias_name="d").grant_invoke_url_to_organization("r-1"),
            "organization_id='r-1'",
        ),
        (lambda stack: make(stack, alias_name="e").grant_invoke_url(iam.AnyPrincipal()), "every AWS account"),
        (
            lambda stack: make(stack, alias_name="l").grant_invoke_url(
                iam.ServicePrincipal("cloudfront.amazonaws.com")
            ),
            "with_origin_access_control",
        ),
        (lambda stack: [make(stack, alias_name="m"), make(stack, alias_name="m")], "the alias 'm'"),
        (
            lambda stack: make(stack, alias_name="f").grant_invoke_url(
                iam.AccountPrincipal(OTHER), source_cidrs=["203.0.113.0/24"]
            ),
            "no identity policy",
        ),
        (lambda stack: [make(stack), make(stack)], "one URL for $LATEST and for each alias"),
    ],
)
def test_what_is_refused(stack: Stack, build: Callable[[Stack], object], said: str) -> None:
    assert said in refusal(stack, build)


@pytest.mark.parametrize(
    "version",
    [
        lambda stack: HardenedFunction(stack, "Versioned", code=CODE).current_version,
        lambda stack: lambda_.Version.from_version_arn(stack, "Version7", f"{ARN}:7"),
        lambda stack: lambda_.Function.from_function_arn(stack, "Function7", f"{ARN}:7"),
    ],
)
def test_a_version_has_no_url(stack: Stack, version: Callable[[Stack], lambda_.IFunction]) -> None:
    function = version(stack)
    new = f"Of{function.node.id}"
    said = refusal(stack, lambda stack: FunctionUrl(stack, new, function=function, auth_type=NONE))
    assert "outlive a version" in said


def test_a_public_url_needs_a_function_whose_policy_can_be_changed() -> None:
    stack = Stack()  # in the account and Region of the deployment, whichever these are
    foreign = lambda_.Function.from_function_arn(stack, "Foreign", ARN)
    said = refusal(stack, lambda stack: FunctionUrl(stack, "Of", function=foreign, auth_type=NONE))
    assert "same_environment=True" in said


@pytest.mark.parametrize(
    ("arn", "said"),
    [
        (ARN.replace("eu-west-1", "us-east-1"), "it is in us-east-1, and this stack in eu-west-1"),
        (ARN.replace("123456789012", OTHER), f"it is in {OTHER}, and this stack in 123456789012"),
        (f"{ARN}:$LATEST", "its ARN ends with ':$LATEST'"),
    ],
)
def test_a_function_that_gets_no_url_here(stack: Stack, arn: str, said: str) -> None:
    new = f"F{len(stack.node.children)}"
    function = lambda_.Function.from_function_arn(stack, new, arn)
    assert said in refusal(
        stack, lambda stack: FunctionUrl(stack, f"{new}Url", function=function, auth_type=AWS_IAM)
    )


def test_a_function_with_a_url_of_the_cdk_gets_no_other() -> None:
    stack = Stack()
    function = HardenedFunction(stack, "Function", code=CODE)
    function.add_function_url(auth_type=AWS_IAM)
    said = refusal(stack, lambda stack: FunctionUrl(stack, "A", function=function, auth_type=AWS_IAM))
    assert "from add_function_url() already" in said
    FunctionUrl(stack, "B", function=function, auth_type=AWS_IAM, alias_name="live")


def test_a_function_with_a_url_gets_no_other_from_the_cdk() -> None:
    app = App()
    stack = Stack(app, "Stack")
    function = HardenedFunction(stack, "Function", code=CODE)
    FunctionUrl(stack, "A", function=function, auth_type=AWS_IAM)
    FunctionUrl(stack, "B", function=function, auth_type=AWS_IAM, alias_name="live")
    function.add_function_url(auth_type=AWS_IAM)
    with pytest.raises(RuntimeError, match="has a second URL") as raised:
        app.synth()
    assert str(raised.value).count("has a second URL") == 1


@pytest.mark.parametrize(
    ("cors", "said"),
    [
        ({}, "allowed_origins"),
        *(
            ({"allowed_origins": [origin]}, f"{origin!r} never equals the origin of a page")
            for origin in ("https://*.a.com", "https://*", "https://a.com?x", "https://u:p@a.com", "https://")
        ),
        (
            {"allowed_origins": ["*"], "allowed_methods": SEVEN},
            "len(cors.allowed_methods)=7: Lambda allows 0 to 6",
        ),
        ({"allowed_origins": ["*"], "allowed_headers": [""]}, "cors.allowed_headers: '' is no name"),
        ({"allowed_origins": ["*"], "exposed_headers": ["X Y"]}, "cors.exposed_headers: 'X Y' is no name"),
        ({"allowed_origins": ["*"], "allow_credentials": True}, "allow_credentials=True"),
        ({"allowed_origins": ["https://example.com/"]}, "without a path"),
        ({"allowed_origins": ["example.com"]}, "without a path"),
        ({"allowed_origins": ["https://example.com"] * 101}, "allows 0 to 100"),
        ({"allowed_origins": [f"https://{'x' * 250}"]}, "Lambda allows 253"),
        ({"allowed_origins": ["*"], "allowed_headers": ["x" * 1025]}, "Lambda allows 1024"),
        ({"allowed_origins": ["*"], "allowed_methods": [lambda_.HttpMethod.OPTIONS]}, "OPTIONS"),
        ({"allowed_origins": ["*"], "max_age": Duration.days(2)}, "cors.max_age"),
    ],
)
def test_cors_that_is_refused(stack: Stack, cors: dict[str, Any], said: str) -> None:
    assert said in refusal(stack, lambda stack: make(stack, cors=lambda_.FunctionUrlCorsOptions(**cors)))


def test_values_of_the_deployment_pass() -> None:
    stack = Stack()
    front = make(
        stack,
        alias_name="live",
        cors=lambda_.FunctionUrlCorsOptions(allowed_origins=[Fn.import_value("Origin")]),
    )
    front.grant_invoke_url_to_account(Fn.import_value("Account"))
    front.grant_invoke_url(
        HardenedFunction(stack, "Shop", code=CODE), source_cidrs=[Fn.import_value("Office")]
    )
    front.grant_invoke_url(
        HardenedFunction(stack, "Batch", code=CODE), source_cidrs=Fn.split(",", Fn.import_value("Offices"))
    )


@pytest.mark.parametrize(
    ("runtime", "warned"), [(lambda_.Runtime.PYTHON_3_14, True), (lambda_.Runtime.NODEJS_24_X, False)]
)
def test_streaming_with_a_runtime_that_cannot_is_a_warning(runtime: lambda_.Runtime, warned: bool) -> None:
    stack = Stack()
    function = lambda_.Function(stack, "Function", code=CODE, handler="index.handler", runtime=runtime)
    mode = lambda_.InvokeMode.RESPONSE_STREAM
    front = FunctionUrl(stack, "Front", function=function, auth_type=AWS_IAM, invoke_mode=mode)
    warnings = [str(entry.data) for entry in front.node.metadata if entry.type == "aws:cdk:warning"]
    assert any("RESPONSE_STREAM" in warning for warning in warnings) == warned
