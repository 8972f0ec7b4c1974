"""Environments: aliases of one function, each on a version that stays until another one is named."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Stack, Stage
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, HardenedFunction
from cdk_lambda_patterns.delivery.environments import NEWEST, Environments, Weighted
from tasks.synthesis import app_context
from tests.templates import Resources, read_templates, stack_with, walk

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"


def function(stack: Stack, id: str = "Orders", options: FunctionOptions | None = None) -> HardenedFunction:
    return HardenedFunction(stack, id, code=CODE, options=options)


def targets(resources: Resources) -> dict[str, Any]:
    """The versions and weights of each alias of a template."""
    return {
        alias["Name"]: (alias["FunctionVersion"], alias.get("RoutingConfig"))
        for alias in resources.all("AWS::Lambda::Alias").values()
    }


@stack_with
def three(stack: Stack) -> None:
    Environments(
        stack,
        "Environments",
        function=function(stack),
        aliases={"dev": NEWEST, "test": 7, "prod": Weighted(6, additional_version=7, weight=0.1)},
    )


def test_each_alias_points_at_the_given_version(three: Resources) -> None:
    (version,) = three.all("AWS::Lambda::Version")
    weights = {"AdditionalVersionWeights": [{"FunctionVersion": "7", "FunctionWeight": 0.1}]}
    assert targets(three) == {
        "dev": ({"Fn::GetAtt": [version, "Version"]}, None),
        "test": ("7", None),
        "prod": ("6", weights),
    }


def test_a_version_is_retained_except_when_its_deployment_fails(
    three: Resources,
) -> None:
    resources = three.template["Resources"].values()
    (version,) = (one for one in resources if one["Type"] == "AWS::Lambda::Version")
    assert version["DeletionPolicy"] == "RetainExceptOnCreate"
    assert version["UpdateReplacePolicy"] == "Retain"


def test_aliases_follow_the_version_because_a_number_may_be_the_new_one(three: Resources) -> None:
    (version,) = three.all("AWS::Lambda::Version")
    for logical_id in three.all("AWS::Lambda::Alias"):
        assert version in three.template["Resources"][logical_id]["DependsOn"]


def test_it_writes_no_output_and_no_literal_partition(three: Resources) -> None:
    assert "Outputs" not in three.template
    assert not [text for text in walk(three.template["Resources"]) if str(text).startswith("arn:aws:")]


def logical_ids(folder: Path, **options: Any) -> dict[str, str]:
    """The logical ids of versions and aliases, by their type."""
    app = App(context=app_context(), outdir=str(folder), builtin_cloud_formation_validation=False)
    stack = Stack(app, "S")
    orders = function(stack, options=FunctionOptions(**options))
    Environments(stack, "Environments", function=orders, aliases={"prod": 1})
    app.synth()
    resources = read_templates(folder)["S"]
    types = ("AWS::Lambda::Version", "AWS::Lambda::Alias")
    return {one: next(iter(resources.all(one))) for one in types}


def test_a_changed_function_is_published_and_moves_no_alias_with_a_number(tmp_path: Path) -> None:
    before = logical_ids(tmp_path / "before")
    same = logical_ids(tmp_path / "same")
    after = logical_ids(tmp_path / "after", memory_size=512)
    assert before == same
    assert before["AWS::Lambda::Version"] != after["AWS::Lambda::Version"]
    assert before["AWS::Lambda::Alias"] == after["AWS::Lambda::Alias"]


@stack_with
def triggered(stack: Stack) -> None:
    orders = function(stack)
    prod = Environments(stack, "Environments", function=orders, aliases={"prod": 1}).aliases["prod"]
    prod.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
    prod.add_event_source(sources.SqsEventSource(sqs.Queue(stack, "Queue")))
    sns.Topic(stack, "Topic").add_subscription(subscriptions.LambdaSubscription(prod))
    table = dynamodb.Table.from_table_name(stack, "Table", "orders")
    table.grant(prod, "dynamodb:GetItem")


def test_triggers_and_grants_attach_to_the_alias(triggered: Resources) -> None:
    (alias,) = triggered.all("AWS::Lambda::Alias")
    assert triggered.only("AWS::Lambda::Url")["Qualifier"] == "prod"
    mapping = triggered.only("AWS::Lambda::EventSourceMapping")["FunctionName"]
    assert mapping["Fn::Join"][1][-1] == ":prod"
    assert {"Ref": alias} in list(walk(mapping))
    permission = triggered.only("AWS::Lambda::Permission", Principal="sns.amazonaws.com")
    assert permission["FunctionName"] == {"Ref": alias}
    assert triggered.only("AWS::SNS::Subscription")["Endpoint"] == {"Ref": alias}
    assert "dynamodb:GetItem" in triggered.actions("OrdersServiceRole")


@stack_with
def asynchronous(stack: Stack) -> None:
    orders = HardenedFunction(stack, "Orders", code=CODE, asynchronous=AsyncOptions())
    Environments(stack, "Environments", function=orders, aliases={"test": 1, "prod": 1})


def test_each_alias_has_the_functions_failure_queue(asynchronous: Resources) -> None:
    configured = asynchronous.all("AWS::Lambda::EventInvokeConfig")
    by_qualifier = {one.pop("Qualifier"): one for one in configured.values()}
    assert by_qualifier.keys() == {"$LATEST", "test", "prod"}
    assert by_qualifier["prod"] == by_qualifier["test"] == by_qualifier["$LATEST"]
    (queue,) = asynchronous.all("AWS::SQS::Queue")
    destination = by_qualifier["prod"]["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == {"Fn::GetAtt": [queue, "Arn"]}


@stack_with
def imported(stack: Stack) -> None:
    orders = lambda_.Function.from_function_arn(stack, "Orders", ARN)
    environments = Environments(
        stack,
        "Environments",
        function=orders,
        aliases={"test": 7, "prod": Weighted(6, additional_version=7, weight=0.5)},
    )
    assert environments.newest_version is None


def test_an_imported_function_gets_aliases_and_publishes_nothing(imported: Resources) -> None:
    assert imported.all("AWS::Lambda::Version") == {}
    assert {name: version for name, (version, _) in targets(imported).items()} == {"test": "7", "prod": "6"}
    assert {alias["FunctionName"] for alias in imported.all("AWS::Lambda::Alias").values()} == {"orders"}


@stack_with
def several(stack: Stack) -> None:
    parameter = CfnParameter(stack, "Prod", type="Number", default=1)
    orders, bills = function(stack), function(stack, "Bills")
    Environments(stack, "One", function=orders, aliases={"prod": parameter.value_as_number, "test": 2})
    Environments(stack, "Two", function=orders, aliases={"beta_2": NEWEST})
    Environments(stack, "Three", function=bills, aliases={"prod": 3})


def test_a_stack_can_have_several_and_a_number_can_be_a_parameter(several: Resources) -> None:
    assert len(several.all("AWS::Lambda::Version")) == 2
    aliases = several.all("AWS::Lambda::Alias").values()
    assert sorted(str(alias["FunctionVersion"]) for alias in aliases if alias["Name"] == "prod") == [
        "3",
        "{'Ref': 'Prod'}",
    ]


def test_a_function_from_another_stack_takes_numbers_also_in_a_stage(tmp_path: Path) -> None:
    app = App(context=app_context(), outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    stage = Stage(app, "Beta")
    orders = function(Stack(stage, "Orders"))
    Environments(Stack(stage, "Delivery"), "Environments", function=orders, aliases={"prod": 1})
    with pytest.raises(ValueError, match=r"^aliases\['dev'\]=NEWEST: the function is from another stack"):
        Environments(Stack(stage, "More"), "Environments", function=orders, aliases={"dev": NEWEST})
    app.synth()
    templates = read_templates(tmp_path)
    (delivery,) = (one for name, one in templates.items() if "Delivery" in name)
    assert delivery.only("AWS::Lambda::Alias")["FunctionVersion"] == "1"


def rejects(aliases: object, message: str, of: Callable[[Stack], lambda_.IFunction] = function) -> None:
    """Expect the start of an error."""
    stack = Stack()
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        Environments(stack, "E", function=of(stack), aliases=aliases)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "7", "42", "$LATEST", "a b", "a.b", "x" * 129])
def test_a_name_that_lambda_does_not_allow_is_rejected(name: str) -> None:
    rejects({name: 1}, f"aliases[{name!r}]: Lambda allows 1 to 128 letters, digits, hyphens and underscores")


@pytest.mark.parametrize("version", [0, -1, 1.5, "prod", "$LATEST", "7"])
def test_only_the_number_of_a_published_version_is_accepted(version: object) -> None:
    rejects({"prod": version}, f"aliases['prod']={version!r}: give the number of a published version, 1 or")
    with pytest.raises(ValueError, match=r"^additional_version="):
        Weighted(1, additional_version=version, weight=0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("weight", [0, 1, -0.1, 1.1, 10])
def test_a_weight_must_be_between_0_and_1(weight: float) -> None:
    message = f"weight={weight}: the share of the calls must be more than 0 and less than 1; to send all"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        Weighted(1, additional_version=2, weight=weight)


def test_the_additional_version_must_be_another_one() -> None:
    with pytest.raises(ValueError, match=r"^additional_version=2: the same as version"):
        Weighted(2, additional_version=2, weight=0.5)


def test_an_alias_that_another_construct_makes_is_rejected() -> None:
    stack = Stack(App(), "S")
    orders = function(stack)
    Environments(stack, "One", function=orders, aliases={"dev": 1, "prod": 1})
    Environments(stack, "Two", function=orders, aliases={"test": 1})
    Environments(stack, "Three", function=function(stack, "Others"), aliases={"prod": 1})
    with pytest.raises(
        ValueError, match=r"^the alias 'prod' of S/Orders: .* S/One has it already; give another"
    ):
        Environments(stack, "Four", function=orders, aliases={"prod": 2})


def test_no_alias_at_all_is_rejected() -> None:
    rejects({}, "aliases={}: nothing would be deployed")


def test_the_newest_version_of_an_imported_function_is_unknown() -> None:
    message = "aliases['dev']=NEWEST: the function is imported, so another app publishes its versions"
    rejects({"dev": NEWEST}, message, lambda stack: lambda_.Function.from_function_arn(stack, "F", ARN))


QUALIFIED: dict[str, Callable[[Stack], lambda_.IFunction]] = {
    "an alias": lambda stack: function(stack).add_alias("live"),
    "an imported alias": lambda stack: lambda_.Alias.from_alias_attributes(
        stack, "A", alias_name="live", alias_version=function(stack).current_version
    ),
    "a version": lambda stack: function(stack).current_version,
    "an imported version": lambda stack: lambda_.Version.from_version_arn(stack, "V", f"{ARN}:7"),
    "an ARN with a qualifier": lambda stack: lambda_.Function.from_function_arn(stack, "F", f"{ARN}:live"),
}


@pytest.mark.parametrize("of", QUALIFIED.values(), ids=QUALIFIED.keys())
def test_an_alias_or_a_version_instead_of_the_function_is_rejected(
    of: Callable[[Stack], lambda_.IFunction],
) -> None:
    stack = Stack()
    qualified = of(stack)
    with pytest.raises(ValueError, match="but an alias can only point at versions of a function; give the"):
        Environments(stack, "E", function=qualified, aliases={"prod": 1})


def with_codedeploy(folder: Path, target: Weighted | int) -> App:
    """An app whose alias is in a deployment group of CodeDeploy."""
    app = App(context=app_context(), outdir=str(folder), builtin_cloud_formation_validation=False)
    stack = Stack(app, "S")
    environments = Environments(stack, "E", function=function(stack), aliases={"prod": target})
    codedeploy.LambdaDeploymentGroup(stack, "Group", alias=environments.aliases["prod"])
    return app


def test_weights_under_codedeploy_fail_the_synthesis(tmp_path: Path) -> None:
    with_codedeploy(tmp_path / "one", 1).synth()
    weighted = with_codedeploy(tmp_path / "two", Weighted(1, additional_version=2, weight=0.5))
    with pytest.raises(
        RuntimeError, match="alias prod: CodeDeploy shifts its traffic and fails if the alias has weights"
    ):
        weighted.synth()
