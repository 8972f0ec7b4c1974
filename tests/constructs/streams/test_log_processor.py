"""LogProcessor: filters and permissions for each log group, and the circles that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from aws_cdk import App, CfnParameter, Environment, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as lambda_destinations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_logs_destinations as logs_destinations
from aws_cdk import aws_ssm as ssm
from aws_cdk.assertions import Template

from cdk_lambda_patterns import AsyncOptions, HardenedFunction
from cdk_lambda_patterns.streams.log_processor import LogProcessor
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
EU = Environment(account="123456789012", region="eu-west-1")


def make(stack: Stack, *groups: logs.ILogGroup, id: str = "Errors", **more: Any) -> LogProcessor:
    return LogProcessor(stack, id, code=CODE, handler="index.handler", log_groups=groups, **more)


def function(stack: Stack, id: str = "Worker") -> HardenedFunction:
    return HardenedFunction(stack, id, code=CODE, handler="index.handler")


def imported(stack: Stack, name: str, id: str = "Theirs") -> logs.ILogGroup:
    return logs.LogGroup.from_log_group_name(stack, id, name)


@pytest.fixture
def stack() -> Stack:
    return Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)


@stack_with
def everything(stack: Stack) -> None:
    processor = make(
        stack,
        function(stack).log_group,
        imported(stack, "/app/billing"),
        filter_pattern=logs.FilterPattern.string_value("$.level", "=", "ERROR"),
    )
    processor.add_log_group(logs.LogGroup(stack, "Till"), logs.FilterPattern.all_events())


def test_each_log_group_has_a_filter_of_its_own(everything: Resources) -> None:
    filters = everything.all("AWS::Logs::SubscriptionFilter").values()
    patterns = {str(one["LogGroupName"]): one["FilterPattern"] for one in filters}
    errors = '{ $.level = "ERROR" }'
    assert patterns.pop("/app/billing") == errors
    assert sorted(patterns.values()) == ["", errors]


def test_each_permission_is_for_one_log_group_of_this_account(everything: Resources) -> None:
    permissions = everything.all("AWS::Lambda::Permission")
    assert len({str(one["SourceArn"]) for one in permissions.values()}) == 3
    for one in permissions.values():
        assert one["Principal"] == "logs.amazonaws.com"
        assert one["SourceAccount"] == {"Ref": "AWS::AccountId"}
    depended = [
        set(one["DependsOn"]) & permissions.keys()
        for one in everything.template["Resources"].values()
        if one["Type"] == "AWS::Logs::SubscriptionFilter"
    ]
    assert [len(one) for one in depended] == [1, 1, 1]


def test_a_permission_has_the_arn_of_its_log_group_also_if_that_is_a_token(stack: Stack) -> None:
    """An ARN that is known at deployment only ends with ":*" already; with another one, nothing matches."""
    parameter = ssm.StringParameter.value_for_string_parameter(stack, "/till/log-group")
    groups = [
        logs.LogGroup.from_log_group_arn(stack, "Shop", logs.LogGroup(stack, "Owned").log_group_arn),
        logs.LogGroup.from_log_group_arn(stack, "Till", parameter),
    ]
    make(stack, *groups)
    template = Template.from_stack(stack).to_json()["Resources"]
    filters = [one["Properties"] for one in template.values() if one["Type"].endswith("SubscriptionFilter")]
    names = [one["LogGroupName"] for one in filters]
    start = ["arn:", {"Ref": "AWS::Partition"}, ":logs:eu-west-1:123456789012:log-group:"]
    assert [
        one["Properties"]["SourceArn"]
        for one in template.values()
        if one["Type"] == "AWS::Lambda::Permission"
    ] == [{"Fn::Join": ["", [*start, name, ":*"]]} for name in names]
    assert len(names) == 2


def test_a_log_group_may_be_from_another_stack() -> None:
    app = App(builtin_cloud_formation_validation=False)
    theirs, mine = Stack(app, "Theirs", env=EU), Stack(app, "Mine", env=EU)
    make(mine, function(theirs).log_group, logs.LogGroup(theirs, "Named", log_group_name="/app/named"))
    Template.from_stack(theirs).resource_count_is("AWS::Logs::SubscriptionFilter", 0)
    Template.from_stack(mine).resource_count_is("AWS::Logs::SubscriptionFilter", 2)


def own(stack: Stack) -> None:
    processor = make(stack)
    processor.add_log_group(processor.function.log_group)


def own_by_name(stack: Stack) -> None:
    processor = make(stack)
    processor.add_log_group(imported(stack, processor.function.log_group.log_group_name))


def own_by_arn(stack: Stack) -> None:
    processor = make(stack)
    arn = processor.function.log_group.log_group_arn
    processor.add_log_group(logs.LogGroup.from_log_group_arn(stack, "Own", arn))


def own_in_another_stack(stack: Stack) -> None:
    processor, other = make(stack), Stack(cast(App, stack.node.root), "Other", env=EU)
    processor.add_log_group(imported(other, processor.function.log_group.log_group_name))


def of_results_by_default_name_in_another_stack(stack: Stack) -> None:
    worker, other = function(stack), Stack(cast(App, stack.node.root), "Other", env=EU)
    worker.node.default_child.logging_config = None  # type: ignore[union-attr]
    options = AsyncOptions(on_success=lambda_destinations.LambdaDestination(worker))
    make(stack, imported(other, f"/aws/lambda/{worker.function_name}"), asynchronous=options)


def of_results(stack: Stack) -> None:
    worker = function(stack)
    options = AsyncOptions(on_success=lambda_destinations.LambdaDestination(worker))
    make(stack, worker.log_group, asynchronous=options)


def of_results_by_default_name(stack: Stack) -> None:
    worker = lambda_.Function(
        stack, "Worker", code=CODE, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_13
    )
    options = AsyncOptions(on_success=lambda_destinations.LambdaDestination(worker))
    make(stack, imported(stack, f"/aws/lambda/{worker.function_name}"), asynchronous=options)


def of_results_with_a_named_group(stack: Stack) -> None:
    group = logs.LogGroup(stack, "Group", log_group_name="/app/results")
    worker = lambda_.Function(
        stack,
        "Worker",
        code=CODE,
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
        log_group=group,
    )
    options = AsyncOptions(on_success=lambda_destinations.LambdaDestination(worker))
    make(stack, imported(stack, "/app/results"), asynchronous=options)


def circle(stack: Stack) -> None:
    one, two = make(stack, id="One"), make(stack, id="Two")
    two.add_log_group(one.function.log_group)
    one.add_log_group(two.function.log_group)


def circle_of_three(stack: Stack) -> None:
    one, two, three = (make(stack, id=name) for name in ("One", "Two", "Three"))
    three.add_log_group(two.function.log_group)
    two.add_log_group(one.function.log_group)
    one.add_log_group(three.function.log_group)


@pytest.mark.parametrize(
    "recursive",
    [
        own,
        own_by_name,
        own_by_arn,
        own_in_another_stack,
        of_results,
        of_results_by_default_name_in_another_stack,
        of_results_by_default_name,
        of_results_with_a_named_group,
        circle,
        circle_of_three,
    ],
)
def test_a_circle_is_refused(stack: Stack, recursive: Callable[[Stack], None]) -> None:
    with pytest.raises(ValueError, match="would process what it or its results write, and write again"):
        recursive(stack)


def test_a_processor_may_process_what_another_writes(stack: Stack) -> None:
    one = make(stack, function(stack).log_group, id="One")
    make(stack, one.function.log_group, id="Two")
    make(stack, one.function.log_group, id="Three")


def infrequent(stack: Stack) -> logs.ILogGroup:
    group = logs.LogGroup(stack, "G")
    cast(logs.CfnLogGroup, group.node.default_child).log_group_class = "INFREQUENT_ACCESS"
    return group


def by_arn(stack: Stack, group: logs.ILogGroup, id: str = "Same") -> logs.ILogGroup:
    return logs.LogGroup.from_log_group_arn(stack, id, group.log_group_arn)


def twice(stack: Stack) -> LogProcessor:
    group = logs.LogGroup(stack, "G", log_group_name="/app/g")
    return make(stack, group, by_arn(stack, group))


def in_another_region(stack: Stack) -> LogProcessor:
    theirs = Stack(cast(App, stack.node.root), "US", env=Environment(account=EU.account, region="us-east-1"))
    return make(stack, by_arn(stack, logs.LogGroup(theirs, "G", log_group_name="/app/g")))


def literal(stack: Stack, pattern: str) -> LogProcessor:
    return make(stack, imported(stack, "a"), filter_pattern=logs.FilterPattern.literal(pattern))


def elsewhere(stack: Stack) -> logs.ILogGroup:
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:theirs:*"
    return logs.LogGroup.from_log_group_arn(stack, "Theirs", arn)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda s: make(s, imported(s, "/aws/lambda/*")), "a wildcard would also match the log group of the"),
        (lambda s: make(s, imported(s, "")), "by its name of 1 to 512 letters"),
        (lambda s: make(s, elsewhere(s)), "of their own account and Region"),
        (in_another_region, "of their own account and Region"),
        (lambda s: make(s, imported(s, "a"), imported(s, "a", "Again")), "process each of its events twice"),
        (twice, "process each of its events twice"),
        (
            lambda s: make(s, logs.LogGroup(s, "G", log_group_class=logs.LogGroupClass.INFREQUENT_ACCESS)),
            "only log groups of the class STANDARD have subscription filters",
        ),
        (lambda s: make(s, infrequent(s)), "its class is INFREQUENT_ACCESS"),
        (lambda s: make(s, by_arn(s, infrequent(s))), "its class is INFREQUENT_ACCESS"),
        (
            lambda s: literal(s, "a" * 1025),
            "length of filter_pattern=1,025: CloudWatch Logs allows 0 to",
        ),
        (lambda s: literal(s, "{ $.level = "), "a filter pattern that starts with { ends with }"),
        (lambda s: literal(s, " [time, level"), "a filter pattern that starts with .* ends with ]"),
        (lambda s: literal(s, "%a% %b% %c%"), "number of regular expressions in filter_pattern=3: Cloud"),
    ],
)
def test_what_cloudwatch_logs_would_refuse_is_refused(
    stack: Stack, made: Callable[[Stack], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        made(stack)


@pytest.mark.parametrize(
    "pattern",
    ['%a% %b% "90% %c% of it"', '{ $.a = %x{2}% && $.b = "}" }', "[time, level = %ERR%]", "", " "],
)
def test_patterns_that_look_odd_and_are_valid(stack: Stack, pattern: str) -> None:
    literal(stack, pattern)
    token = CfnParameter(stack, "Pattern").value_as_string
    make(stack, imported(stack, "a", "A"), id="B", filter_pattern=logs.FilterPattern.literal(token))


@pytest.mark.parametrize("before", [True, False])
def test_a_log_group_has_at_most_five_filters_whoever_adds_them(stack: Stack, before: bool) -> None:
    group = logs.LogGroup(stack, "Shop")
    target = logs_destinations.LambdaDestination(function(stack))

    def add() -> None:
        for number in range(3):
            group.add_subscription_filter(
                f"F{number}", destination=target, filter_pattern=logs.FilterPattern.all_events()
            )

    if before:
        add()
    make(stack, group, id="One")
    make(stack, by_arn(stack, group), id="Two")
    if not before:
        add()
    Template.from_stack(stack)
    make(stack, group, id="Three")
    with pytest.raises(RuntimeError, match="number of subscription filters of Stack/Shop=6: CloudWatch Logs"):
        cast(App, stack.node.root).synth(force=True)
