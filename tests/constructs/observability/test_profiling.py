"""The construct of `profiling`."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_codeguruprofiler as codeguruprofiler
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Match, Template

from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.observability.profiling import ProfiledFunction

INLINE = lambda_.Code.from_inline("def handler(event, context): ...")
PUBLISH = ["codeguru-profiler:ConfigureAgent", "codeguru-profiler:PostAgentProfile"]


def new_stack() -> Stack:
    return Stack(App(builtin_cloud_formation_validation=False), "Stack")


def test_the_agent_finds_its_group_and_may_do_nothing_but_report() -> None:
    stack = new_stack()
    ProfiledFunction(stack, "Profiled", code=INLINE, handler="index.handler", environment={"OWN": "1"})
    template = Template.from_stack(stack)
    [group] = template.find_resources("AWS::CodeGuruProfiler::ProfilingGroup")
    template.has_resource_properties(
        "AWS::CodeGuruProfiler::ProfilingGroup", {"ComputePlatform": "AWSLambda"}
    )
    arn = {"Fn::GetAtt": [group, "Arn"]}
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "Runtime": "python3.13",
            "Architectures": ["x86_64"],
            "Environment": {
                "Variables": {
                    "OWN": "1",
                    "AWS_CODEGURU_PROFILER_GROUP_ARN": arn,
                    "AWS_CODEGURU_PROFILER_ENABLED": "true",
                }
            },
        },
    )
    statement = Match.object_like({"Action": PUBLISH, "Resource": arn})
    template.has_resource_properties(
        "AWS::IAM::Policy", {"PolicyDocument": {"Statement": Match.array_with([statement])}}
    )


def test_an_imported_group_is_used_and_the_agent_can_be_switched_off() -> None:
    stack = new_stack()
    group = codeguruprofiler.ProfilingGroup.from_profiling_group_name(stack, "Group", "suggestions")
    options = FunctionOptions(runtime=lambda_.Runtime.PYTHON_3_12, architecture=lambda_.Architecture.X86_64)
    made = ProfiledFunction(
        stack,
        "Profiled",
        code=INLINE,
        handler="index.handler",
        profiling_group=group,
        enabled=False,
        function_options=options,
    )
    assert made.profiling_group is group
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::CodeGuruProfiler::ProfilingGroup", 0)
    variables = Match.object_like({"AWS_CODEGURU_PROFILER_ENABLED": "false"})
    template.has_resource_properties(
        "AWS::Lambda::Function", {"Runtime": "python3.12", "Environment": {"Variables": variables}}
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (FunctionOptions(architecture=lambda_.Architecture.ARM_64), r"arm64: .*Architecture\.X86_64 only"),
        (
            FunctionOptions(runtime=lambda_.Runtime.PYTHON_3_14),
            r"python3\.14: the agent supports python3",
        ),
        (FunctionOptions(runtime=lambda_.Runtime.NODEJS_22_X), r"nodejs22\.x: the agent supports"),
    ],
)
def test_what_the_agent_does_not_support_is_refused(options: FunctionOptions, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProfiledFunction(new_stack(), "Profiled", code=INLINE, function_options=options)


def _profiled(stack: Stack, **more: Any) -> ProfiledFunction:
    return ProfiledFunction(stack, "Profiled", code=INLINE, handler="index.handler", **more)


def test_a_group_that_is_not_for_lambda_is_refused() -> None:
    stack = new_stack()
    group = codeguruprofiler.ProfilingGroup(stack, "Group")
    with pytest.raises(ValueError, match=r"Stack/Group is for the platform Default; .*AWS_LAMBDA"):
        _profiled(stack, profiling_group=group)


def test_a_group_of_another_account_is_refused() -> None:
    stack = Stack(App(), "Stack", env=Environment(account="123456789012", region="eu-west-1"))
    arn = "arn:aws:codeguru-profiler:eu-west-1:111122223333:profilingGroup/theirs"
    group = codeguruprofiler.ProfilingGroup.from_profiling_group_arn(stack, "Group", arn)
    with pytest.raises(ValueError, match="is in the account 111122223333"):
        _profiled(stack, profiling_group=group)


@pytest.mark.parametrize("name", ["AWS_CODEGURU_PROFILER_ENABLED", "AWS_CODEGURU_PROFILER_GROUP_ARN"])
def test_a_variable_of_the_agent_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"environment has {name}.* use profiling_group or enabled"):
        _profiled(new_stack(), environment={name: "FALSE"})
