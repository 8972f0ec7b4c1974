"""The construct of `tracing`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns.observability.tracing import SamplingRule, Tracing


def empty_stack() -> Stack:
    """An empty stack."""
    return Stack(App(builtin_cloud_formation_validation=False), "Stack")


def stage(stack: Stack, **options: Any) -> apigateway.IStage:
    """The stage of a new API, traced unless the options say otherwise."""
    settings = apigateway.StageOptions(**{"tracing_enabled": True, **options})
    api = apigateway.RestApi(stack, "Api", deploy_options=settings)
    api.root.add_method("GET")
    return api.deployment_stage


def function(stack: Stack, **settings: Any) -> lambda_.Function:
    """A function, without tracing unless it is in the settings."""
    code = lambda_.Code.from_inline("def handler(event, context): pass")
    runtime = lambda_.Runtime.PYTHON_3_14
    return lambda_.Function(
        stack, "Function", code=code, handler="index.handler", runtime=runtime, **settings
    )


def test_each_rule_is_about_the_stage_and_they_are_tried_in_their_order() -> None:
    stack = empty_stack()
    rules = [
        SamplingRule(url_path="/health", fixed_rate=0, reservoir_size=0),
        SamplingRule(http_method="POST"),
    ]
    tracing = Tracing(stack, "Tracing", stage=stage(stack), rules=rules, priority=7)
    assert len(tracing.sampling_rules) == 2
    assert tracing.group is None
    found = Template.from_stack(stack).find_resources("AWS::XRay::SamplingRule")
    first, second = (one["Properties"]["SamplingRule"] for one in found.values())
    assert (first["Priority"], first["URLPath"], first["FixedRate"], first["ReservoirSize"]) == (
        7,
        "/health",
        0,
        0,
    )
    assert (second["Priority"], second["HTTPMethod"], second["FixedRate"]) == (8, "POST", 0.05)
    assert first["ResourceARN"] == second["ResourceARN"]
    assert "::/restapis/" in str(first["ResourceARN"])
    assert first["RuleName"] != second["RuleName"]
    for number, rule in enumerate((first, second)):
        fixed, of_stack, last = rule["RuleName"]["Fn::Join"][1]
        assert of_stack["Fn::Select"][0] == 4  # the last part of the UUID in the stack's id: 12 characters
        assert (len(fixed) <= 18, last) == (True, str(number))


def test_a_group_has_a_name_of_its_own_and_the_expression() -> None:
    stack = empty_stack()
    prod = stage(stack)
    for name in ("One", "Two"):
        Tracing(stack, name, stage=prod, filter_expression="fault = true")
    groups = Template.from_stack(stack).find_resources("AWS::XRay::Group").values()
    assert {one["Properties"]["FilterExpression"] for one in groups} == {"fault = true"}
    assert len({str(one["Properties"]["GroupName"]) for one in groups}) == 2


def test_an_imported_stage_is_named_by_its_arn_and_cannot_be_checked() -> None:
    stack = empty_stack()
    api = apigateway.RestApi.from_rest_api_id(stack, "Api", "a1b2c3d4e5")
    prod = apigateway.Stage.from_stage_attributes(stack, "Stage", rest_api=api, stage_name="prod")
    imported = lambda_.Function.from_function_name(stack, "Theirs", "theirs")
    Tracing(stack, "Tracing", stage=prod, rules=[SamplingRule()], functions=[imported])
    template = Template.from_stack(stack)
    ((_, rule),) = template.find_resources("AWS::XRay::SamplingRule").items()
    assert rule["Properties"]["SamplingRule"]["ResourceARN"]["Fn::Join"][1][-1] == (
        "::/restapis/a1b2c3d4e5/stages/prod"
    )
    Annotations.from_stack(stack).has_info("*", Match.string_like_regexp("is imported; check"))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda stack: Tracing(stack, "T", stage=stage(stack, tracing_enabled=False)), "it is not traced"),
        (
            lambda stack: Tracing(stack, "T", stage=stage(stack), functions=[function(stack)]),
            "has no active tracing",
        ),
        (
            lambda stack: Tracing(
                stack,
                "T",
                stage=stage(stack),
                functions=[function(stack, tracing=lambda_.Tracing.PASS_THROUGH)],
            ),
            "has no active tracing",
        ),
        (
            lambda stack: Tracing(
                stack, "T", stage=stage(stack), functions=[function(stack).add_alias("live")]
            ),
            "has no active tracing",
        ),
        (lambda stack: Tracing(stack, "T", stage=stage(stack), rules=[SamplingRule()] * 2), "the last one"),
        (lambda stack: Tracing(stack, "T", stage=stage(stack), filter_expression=""), "filter_expression=''"),
        (lambda _: SamplingRule(url_path="orders"), "begins with / or"),
        (lambda _: SamplingRule(http_method="post "), "http_method='post '"),
        (
            lambda stack: Tracing(
                stack, "T", stage=stage(stack), rules=[SamplingRule(url_path="/")] * 2, priority=9_999
            ),
            "priority of the last rule=10,000",
        ),
        (lambda _: SamplingRule(fixed_rate=5), "fixed_rate=5: X-Ray allows 0 to 1"),
        (lambda _: SamplingRule(reservoir_size=-1), "reservoir_size=-1"),
        (lambda _: SamplingRule(url_path="/" * 129), "length of url_path=129"),
        (lambda _: SamplingRule(http_method=""), "length of http_method=0"),
    ],
)
def test_what_is_not_allowed_is_refused_with_the_remedy(make: Callable[[Stack], Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make(empty_stack())
