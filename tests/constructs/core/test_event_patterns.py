"""Event patterns that EventBridge would refuse are refused at synthesis, with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Environment, Stack, Token
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns.core.event_patterns import check_event_pattern
from cdk_lambda_patterns.data.rds_events import RdsEvents, RdsEventSource, RdsSourceType
from cdk_lambda_patterns.events.pipeline_events import PipelineEvents, StateChanges

CODE = lambda_.Code.from_inline("def handler(event, context): return event")


def stack() -> Stack:
    eu = Environment(account="123456789012", region="eu-west-1")
    return Stack(App(builtin_cloud_formation_validation=False), "Stack", env=eu)


def check(scope: Stack, more: dict[str, Any] | None = None, **fields: Any) -> None:
    rule = events.Rule(scope, "Rule", event_pattern=events.EventPattern(**fields))
    check_event_pattern("event_pattern", rule, more)


def state(*values: Any) -> dict[str, Any]:
    return {"detail": {"state": list(values)}}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "event_pattern: it is empty; give at least a source"),
        ({"source": []}, "event_pattern: source is empty"),
        ({"detail": {}}, "detail is empty"),
        (
            {"detail": {"state": "FAILED"}},
            r"detail\.state is 'FAILED', .* give \['FAILED'\]",
        ),
        ({"detail": {"state": True}}, r"detail\.state is True"),
        (state(), r"detail\.state is empty"),
        ({"detail": {"a": {"b": {}}}}, r"detail\.a\.b is empty"),
        (state(["FAILED"]), "has a list in its list"),
        (
            state({"prefx": "x"}),
            "has the operator 'prefx', which does not exist; use",
        ),
        (state({"prefix": "x", "suffix": "y"}), "has 2 operators"),
        (state({}), "has 0 operators"),
        (state({"prefix": 1}), "has 'prefix' with 1; give str or dict"),
        (state({"exists": "true"}), "has 'exists' with 'true'; give bool"),
        (state({"numeric": []}), "has 'numeric' with "),
        (state({"anything-but": []}), "has 'anything-but' with "),
        ({"detail": {"$or": [{"a": [1]}]}}, r"\$or must be a list of at least two objects"),
        ({"detail": {"$or": [{"a": [1]}, {"b": 2}]}}, r"\$or\.b is 2"),
        (
            {"source": ["x" * 250 for _ in range(20)]},
            "length of event_pattern=5,0.*: EventBridge allows 1 to 4,096",
        ),
    ],
)
def test_a_pattern_is_refused(fields: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        check(stack(), **fields)


def test_every_operator_and_what_is_known_at_deployment_only_pass() -> None:
    operators = [
        {"anything-but": ["a", 1]},
        {"anything-but": {"prefix": "a"}},
        {"cidr": "10.0.0.0/8"},
        {"equals-ignore-case": "a"},
        {"exists": False},
        {"numeric": [">", 0]},
        {"prefix": {"equals-ignore-case": "a"}},
        {"suffix": "a"},
        {"wildcard": "a*"},
        Token.as_any({"Ref": "Value"}),
    ]
    fields = {"Ref": ["a"], "state": operators, "$or": [{"a": [1]}, {"b": [True]}]}
    scope = stack()
    check(scope, source=["shop"], resources=Token.as_list({"Ref": "Arns"}), detail=fields)
    Annotations.from_stack(scope).has_no_warning("*", Match.any_value())


def test_the_length_includes_what_the_template_adds_and_tokens_do_not_count() -> None:
    check(stack(), source=["x" * 4_081])
    with pytest.raises(ValueError, match="length of event_pattern=4,1"):
        check(stack(), {"replay-name": [{"exists": False}]}, source=["x" * 4_081])
    check(stack(), source=[Token.as_string({"Fn::GetAtt": ["x" * 200, "Arn"]}) for _ in range(25)])


def test_more_than_the_default_quota_is_a_warning() -> None:
    scope = stack()
    check(scope, source=["x" * 2_034])
    Annotations.from_stack(scope).has_warning(
        "*", Match.string_like_regexp("has 2,049 characters.*Service Quotas")
    )
    shorter = stack()
    check(shorter, source=["x" * 2_033])
    Annotations.from_stack(shorter).has_no_warning("*", Match.any_value())


def test_the_rules_of_pipelines_and_databases_are_checked() -> None:
    scope = stack()
    pipelines = [
        codepipeline.Pipeline.from_pipeline_arn(
            scope, name, f"arn:aws:codepipeline:eu-west-1:123456789012:{name}"
        )
        for name in (f"pipeline-{number}" for number in range(90))
    ]
    with pytest.raises(ValueError, match="length of event pattern of changes="):
        PipelineEvents(
            scope,
            "P",
            code=CODE,
            handler="index.handler",
            changes=[StateChanges(pipelines=pipelines, pipeline_states=["FAILED"])],
        )
    source = RdsEventSource(
        source_type=RdsSourceType.DB_INSTANCE, source_ids=[f"{'x' * 30}-{number}" for number in range(80)]
    )
    with pytest.raises(ValueError, match="length of event pattern of sources="):
        RdsEvents(scope, "R", code=CODE, handler="index.handler", sources=[source], delivery="rule")
