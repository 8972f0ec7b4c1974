"""LogShippingExtension: a layer with an extension, its bucket, and what an attached function gets."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, RemovalPolicy, Size, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns import HardenedFunction
from cdk_lambda_patterns.delivery.extension import LogShippingExtension
from tests.templates import Resources, stack_with

TOKEN = Token.as_number({"Ref": "AWS::AccountId"})
HERE = Environment(account="111111111111", region="eu-west-1")
THERE = Environment(account="222222222222", region="eu-west-1")
CODE = lambda_.Code.from_inline("def handler(event, context): return event")


def function(stack: Stack, id: str = "Orders") -> HardenedFunction:
    return HardenedFunction(stack, id, code=CODE, handler="index.handler")


@stack_with
def attached(stack: Stack) -> None:
    shipping = LogShippingExtension(stack, "Shipping", removal_policy=RemovalPolicy.DESTROY)
    shipping.attach(function(stack))
    shipping.attach(function(stack, "Invoices"))


@stack_with
def imported(stack: Stack) -> None:
    key = kms.Key(stack, "Key")
    bucket = s3.Bucket(stack, "Lake", encryption_key=key)
    shipping = LogShippingExtension(
        stack,
        "Shipping",
        bucket=bucket,
        prefix="telemetry/orders/",
        max_age=Duration.minutes(5),
        buffer_size=Size.mebibytes(1),
    )
    shipping.attach(function(stack))


def variables(resources: Resources) -> dict[str, Any]:
    """The variables of the first function."""
    found = next(
        one
        for one in resources.all("AWS::Lambda::Function").values()
        if "LOG_SHIPPING_BUCKET" in one.get("Environment", {}).get("Variables", {})
    )
    result: dict[str, Any] = found["Environment"]["Variables"]
    return result


def test_each_function_gets_the_layer_the_settings_and_one_permission(attached: Resources) -> None:
    (layer,) = attached.all("AWS::Lambda::LayerVersion")
    with_layer = [one for one in attached.all("AWS::Lambda::Function").values() if "Layers" in one]
    assert [one["Layers"] for one in with_layer] == [[{"Ref": layer}]] * 2
    found = variables(attached)
    assert found["LOG_SHIPPING_BUCKET"].keys() == {"Ref"}
    del found["LOG_SHIPPING_BUCKET"]
    assert found == {
        "LOG_SHIPPING_PREFIX": "logs/",
        "LOG_SHIPPING_MAX_AGE": "60",
        "LOG_SHIPPING_BUFFER_BYTES": str(4 << 20),
    }
    statements = [
        statement
        for policy in attached.all("AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if str(statement["Action"]).startswith("s3:")
    ]
    assert [one["Action"] for one in statements] == ["s3:PutObject"] * 2
    assert all(json.dumps(one["Resource"]).endswith('"/logs/*"]]}') for one in statements)


def test_a_bucket_of_the_user_is_used_with_its_key(imported: Resources) -> None:
    assert len(imported.all("AWS::S3::Bucket")) == 1
    assert variables(imported)["LOG_SHIPPING_PREFIX"] == "telemetry/orders/"
    actions = [
        statement["Action"]
        for policy in imported.all("AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert "kms:GenerateDataKey" in actions


def test_the_layer_has_a_program_that_starts_with_the_variables_of_an_extension(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path))
    LogShippingExtension(Stack(app, "Shop"), "Shipping")
    app.synth()
    (launcher,) = tmp_path.glob("asset.*/extensions/*")
    assert launcher.stat().st_mode & 0o777 == 0o755
    assert launcher.read_text("utf-8").startswith("#!/var/lang/bin/python3\n")
    modules = sorted(one.name for one in launcher.parents[1].glob("log-shipping/extension/*"))
    assert modules == ["__init__.py", "agent.py", "batches.py"]
    # Extensions do not get LAMBDA_RUNTIME_DIR and others: it comes as far as to the API, which is not here.
    given = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "PYTHONPATH": str(launcher.parents[1] / "log-shipping")}
    started = subprocess.run(
        [sys.executable, launcher], env=given, capture_output=True, text=True, check=False
    )
    assert "Connection refused" in started.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_age": Duration.seconds(0)}, "max_age=0: this construct allows 1 to 900 seconds"),
        ({"max_age": Duration.hours(1)}, "max_age=3,600"),
        ({"buffer_size": Size.kibibytes(1)}, "buffer_size=1,024"),
        ({"prefix": "logs"}, "prefix='logs': give '' or a path that ends with '/'"),
        ({"prefix": "/logs/"}, "prefix='/logs/'"),
        ({"prefix": "lo*gs/"}, "wildcards in the policy"),
        ({"prefix": "ä" * 440 + "/"}, "len(prefix)=881: this construct allows 0 to 880 bytes"),
        ({"buffer_size": Size.mebibytes(TOKEN)}, "buffer_size: give a size that is known"),
        ({"max_age": Duration.minutes(TOKEN)}, "give Duration.seconds(...)"),
    ],
)
def test_values_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        LogShippingExtension(Stack(App(), "Shop"), "Shipping", **settings)


def test_only_functions_with_the_interpreter_can_have_it() -> None:
    stack = Stack(App(), "Shop")
    shipping = LogShippingExtension(stack, "Shipping")
    node = lambda_.Function(
        stack,
        "Node",
        runtime=lambda_.Runtime.NODEJS_22_X,
        handler="index.handler",
        code=lambda_.Code.from_inline("exports.handler = async () => 1"),
    )
    with pytest.raises(ValueError, match=r"Shop/Node has the runtime nodejs22\.x"):
        shipping.attach(node)


def test_a_function_can_have_one_extension_once_and_keeps_its_variables() -> None:
    stack = Stack(App(), "Shop")
    shipping, other = LogShippingExtension(stack, "Shipping"), LogShippingExtension(stack, "Other")
    orders = function(stack)
    shipping.attach(orders)
    for one in (shipping, other):
        with pytest.raises(ValueError, match="Shop/Orders has the variable LOG_SHIPPING_BUCKET"):
            one.attach(orders)
    invoices = function(stack, "Invoices")
    invoices.add_environment("LOG_SHIPPING_PREFIX", "mine")
    with pytest.raises(ValueError, match=r"LOG_SHIPPING_PREFIX.*give your variable another name"):
        shipping.attach(invoices)
    found = Template.from_stack(stack).find_resources("AWS::Lambda::Function").values()
    assert [len(one["Properties"].get("Layers", [])) for one in found] == [1, 0]


def test_functions_that_cannot_be_changed_here_are_refused() -> None:
    app = App()
    stack, other = Stack(app, "Shop", env=HERE), Stack(app, "Other", env=THERE)
    shipping = LogShippingExtension(stack, "Shipping")
    with pytest.raises(
        ValueError, match=r"Other/Orders: it is in 222222222222, and this stack in 111111111111"
    ):
        shipping.attach(function(other))
    arn = "arn:aws:lambda:eu-west-1:111111111111:function:orders"
    for one in (
        lambda_.Function.from_function_arn(stack, "Theirs", arn),
        function(stack).current_version,
        lambda_.Alias(stack, "Live", alias_name="live", version=function(stack, "Next").current_version),
    ):
        with pytest.raises(ValueError, match="is imported, an alias or a version"):
            shipping.attach(one)


@pytest.mark.parametrize("mutable", [True, False])
def test_a_role_that_gets_no_policy_here_is_a_warning(*, mutable: bool) -> None:
    stack = Stack(App(), "Shop", env=HERE)
    role = iam.Role.from_role_arn(stack, "Theirs", "arn:aws:iam::111111111111:role/r", mutable=mutable)
    bucket = s3.Bucket(stack, "Lake", encryption_key=kms.Key(stack, "Key"))
    given = lambda_.Function(
        stack, "Orders", code=CODE, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_13, role=role
    )
    LogShippingExtension(stack, "Shipping", bucket=bucket, max_age=Duration.seconds(TOKEN)).attach(given)
    text = Match.string_like_regexp(
        "Shop/Theirs is of another account or immutable.*s3:PutObject on Shop/Lake and"
    )
    if mutable:
        Annotations.from_stack(stack).has_no_warning("*", text)
    else:
        Annotations.from_stack(stack).has_warning("*", text)
    found = variables(Resources({**Template.from_stack(stack).to_json()}))
    assert found["LOG_SHIPPING_MAX_AGE"] == {"Ref": "AWS::AccountId"}
