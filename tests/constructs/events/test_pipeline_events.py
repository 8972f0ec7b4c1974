"""PipelineEvents and PipelineAction: rules, queues, permissions, and a real pipeline around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Fn, Stack
from aws_cdk import aws_codecommit as codecommit
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_codepipeline_actions as actions
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions
from cdk_lambda_patterns.events.pipeline_events import (
    PipelineAction,
    PipelineEvents,
    ReferenceChanges,
    StateChanges,
)
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
EU = Environment(account="123456789012", region="eu-west-1")
ARN = "arn:aws:codepipeline:{}:{}:shop"
FAILURES = StateChanges(pipeline_states=["FAILED"])


def make(stack: Stack, *changes: StateChanges | ReferenceChanges, **more: Any) -> PipelineEvents:
    return PipelineEvents(
        stack, "Events", code=CODE, handler="index.handler", changes=changes or [FAILURES], **more
    )


def pipeline_with(stack: Stack, *functions: lambda_.IFunction) -> codepipeline.Pipeline:
    """A pipeline with a stage whose actions invoke functions."""
    repository = codecommit.Repository.from_repository_name(stack, "Repository", "shop")
    source = actions.CodeCommitSourceAction(
        action_name="Source",
        repository=repository,
        output=codepipeline.Artifact(),
        trigger=actions.CodeCommitTrigger.NONE,
    )
    checks: list[codepipeline.IAction] = [
        actions.LambdaInvokeAction(action_name=f"Check{number}", lambda_=function, user_parameters={"n": 1})
        for number, function in enumerate(functions)
    ]
    return codepipeline.Pipeline(
        stack,
        "Pipeline",
        stages=[
            codepipeline.StageProps(stage_name="Source", actions=[source]),
            codepipeline.StageProps(stage_name="Check", actions=checks),
        ],
    )


@stack_with
def everything(stack: Stack) -> None:
    check = PipelineAction(stack, "Check", code=CODE, handler="index.handler")
    pipeline = pipeline_with(stack, check.function, check.function)
    imported = codepipeline.Pipeline.from_pipeline_arn(stack, "Theirs", ARN.format("us-east-1", "1"))
    repository = codecommit.Repository(stack, "Own", repository_name="shop")
    make(
        stack,
        StateChanges(
            pipelines=[pipeline, imported],
            pipeline_states=["SUCCEEDED", "FAILED"],
            stage_states=["FAILED"],
            action_states=["ABANDONED"],
        ),
        ReferenceChanges(
            repositories=[repository], reference_events=["referenceUpdated"], reference_names=["main"]
        ),
        StateChanges(pipeline_states=["STOPPED"]),
    )


def test_each_rule_matches_what_was_chosen_and_has_the_dead_letter_queue(everything: Resources) -> None:
    rules = everything.all("AWS::Events::Rule")
    (pipeline,) = everything.all("AWS::CodePipeline::Pipeline")
    (repository,) = everything.all("AWS::CodeCommit::Repository")
    found = {
        (pattern["detail-type"][0].split()[1], tuple(pattern["detail"].get("state", ()))): pattern
        for rule in rules.values()
        for pattern in [rule["EventPattern"]]
    }
    assert {name for name, _ in found} == {"Pipeline", "Stage", "Action", "Repository"}
    chosen = found["Pipeline", ("SUCCEEDED", "FAILED")]["resources"]
    assert len(chosen) == 2
    assert pipeline in str(chosen[0])
    assert chosen[1] == ARN.format("us-east-1", "1")
    assert "resources" not in found["Pipeline", ("STOPPED",)]
    assert found["Action", ("ABANDONED",)]["detail"] == {"state": ["ABANDONED"]}
    references = found["Repository", ()]
    assert references["resources"] == [{"Fn::GetAtt": [repository, "Arn"]}]
    assert references["detail"] == {
        "event": ["referenceUpdated"],
        "referenceType": ["branch", "tag"],
        "referenceName": ["main"],
    }
    queues = {str(target["DeadLetterConfig"]) for rule in rules.values() for target in rule["Targets"]}
    assert len(queues) == 1
    assert "UndeliveredQueue" in queues.pop()


def test_the_cdks_action_adds_no_second_permission_to_call_back(everything: Resources) -> None:
    (function,) = (name for name in everything.all("AWS::IAM::Role") if name.startswith("CheckFunction"))
    (statement,) = (one for one in everything.statements(function) if "PutJob" in str(one["Action"]))
    ours = [action for action in statement["Action"] if action.startswith("codepipeline:")]
    assert ours == ["codepipeline:PutJobFailureResult", "codepipeline:PutJobSuccessResult"]
    stages = everything.only("AWS::CodePipeline::Pipeline")["Stages"]
    roles = [name for name in everything.all("AWS::IAM::Role") if "CheckCheck" in name]
    assert len(roles) == len(stages[1]["Actions"]) == 2
    assert all("lambda:InvokeFunction" in everything.actions(role) for role in roles)


def test_a_failure_is_reported_at_once_by_a_function_that_may_only_do_that(everything: Resources) -> None:
    (config,) = (
        one
        for one in everything.all("AWS::Lambda::EventInvokeConfig").values()
        if "FailureReporter" in str(one["DestinationConfig"]) and "Queue" not in str(one["DestinationConfig"])
    )
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (0, 900)
    (reporter,) = (name for name in everything.all("AWS::IAM::Role") if "FailureReporterServiceRole" in name)
    ours = {action for action in everything.actions(reporter) if action.startswith("codepipeline:")}
    assert ours == {"codepipeline:PutJobFailureResult"}


@stack_with
def with_key(stack: Stack) -> None:
    make(stack, undelivered_queue=sqs.Queue(stack, "Dead", encryption_master_key=kms.Key(stack, "Key")))


def test_eventbridge_may_use_the_key_of_the_dead_letter_queue(with_key: Resources) -> None:
    statements = with_key.only("AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (allowed,) = (one for one in statements if one["Principal"] == {"Service": "events.amazonaws.com"})
    assert set(allowed["Action"]) == {"kms:GenerateDataKey", "kms:Decrypt"}
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_an_imported_dead_letter_queue_must_be_opened_by_its_owner() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)
    arn = "arn:aws:sqs:eu-west-1:123456789012:dead"
    make(stack, undelivered_queue=sqs.Queue.from_queue_arn(stack, "Q", arn))
    Annotations.from_stack(stack).has_warning("*", Match.string_like_regexp("must allow .* sqs:SendMessage"))


def test_pipeline_and_repository_may_be_from_another_stack() -> None:
    app = App(builtin_cloud_formation_validation=False)
    stack, other = Stack(app, "Stack", env=EU), Stack(app, "Other", env=EU)
    check = PipelineAction(stack, "Check", code=CODE, handler="index.handler")
    pipeline = pipeline_with(other, check.function)
    repository = codecommit.Repository(other, "Own", repository_name="shop")
    # The pipeline names the function, so what names the pipeline is in a third stack.
    make(
        Stack(app, "Third", env=EU),
        StateChanges(pipelines=[pipeline], pipeline_states=["FAILED"]),
        ReferenceChanges(repositories=[repository]),
    )
    app.synth()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda s: {"pipeline_states": ["ABANDONED"]}, r"pipeline_states\[0\]='ABANDONED': choose one of"),
        (lambda s: {"stage_states": ["FAILED", "SUPERSEDED"]}, r"stage_states\[1\]='SUPERSEDED'"),
        (lambda s: {"action_states": ["RESUMED"]}, r"action_states\[0\]='RESUMED'"),
        (lambda s: {}, "pipeline_states, stage_states, action_states: choose states"),
        (lambda s: {"pipeline_states": ["FAILED"], "pipelines": []}, "pipelines is empty"),
        (lambda s: {"repositories": []}, "repositories is empty: no event would match"),
        (lambda s: {"repositories": [repository(s)], "reference_events": []}, "reference_events is empty"),
        (
            lambda s: {"repositories": [repository(s)], "reference_events": ["pushed"]},
            r"reference_events\[0\]='pushed'",
        ),
        (lambda s: {"repositories": [repository(s)], "reference_types": ["commit"]}, "reference_types"),
        (lambda s: {"repositories": [repository(s)], "reference_names": "main"}, "reference_names"),
        (
            lambda s: {"pipeline_states": ["FAILED"], "pipelines": [theirs(s, "us-east-1", "123456789012")]},
            r"changes\[0\].pipelines\[0\]=Stack/P: it is in us-east-1, .* A pipeline or repository sends",
        ),
        (
            lambda s: {"pipeline_states": ["FAILED"], "pipelines": [theirs(s, "eu-west-1", "210987654321")]},
            "it is in 210987654321",
        ),
    ],
)
def test_changes_that_match_nothing_are_refused(
    arguments: Callable[[Stack], dict[str, Any]], message: str
) -> None:
    stack = Stack(App(), "Stack", env=EU)
    given = arguments(stack)
    kind = ReferenceChanges if "repositories" in given else StateChanges
    with pytest.raises(ValueError, match=message):
        make(stack, kind(**given))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "no branch or tag can have this name"),
        ("a" * 257, "1 to 256 characters"),
        ("refs/heads/main", "give 'main'"),
        ("refs/tags/v1/rc", "give 'v1/rc'"),
        ("refs/heads/", "no branch or tag can"),
        *(
            (one, "no wildcards")
            for one in ("release/*", "v?", "v[0-9]", "a b", "a\n", "a..b", "a^", "/a", "a/")
        ),
    ],
)
def test_names_that_no_branch_or_tag_has_are_refused(name: str, message: str) -> None:
    source = repository(Stack(App(), "Stack", env=EU))
    with pytest.raises(ValueError, match=rf"reference_names\[1\]='.*{message}"):
        ReferenceChanges(repositories=[source], reference_names=["main", name])
    imported = [*Fn.split(",", "a,b"), Fn.import_value("Name"), "feature/ä#1", "v1.0", "a" * 256]
    ReferenceChanges(repositories=[source], reference_names=imported)


@pytest.mark.parametrize(
    ("given", "attempts", "age"),
    [
        (None, 0, 900),
        (AsyncOptions(), 0, 900),
        (AsyncOptions(retry_attempts=2), 2, 900),
        (AsyncOptions(retry_attempts=0, max_event_age=Duration.minutes(20)), 0, 1_200),
    ],
)
def test_an_action_is_answered_before_codepipeline_gives_up(
    given: AsyncOptions | None, attempts: int, age: int
) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)
    PipelineAction(stack, "Check", code=CODE, handler="index.handler", asynchronous=given)
    configs = Template.from_stack(stack).find_resources("AWS::Lambda::EventInvokeConfig")
    (found,) = (one["Properties"] for name, one in configs.items() if name.startswith("CheckFunction"))
    assert (found["MaximumRetryAttempts"], found["MaximumEventAgeInSeconds"]) == (attempts, age)
    # The reporter has the retries and the age of every function.
    (other,) = (one["Properties"] for name, one in configs.items() if not name.startswith("CheckFunction"))
    assert other["MaximumRetryAttempts"] == 2


def test_an_event_of_a_job_must_not_wait_longer_than_codepipeline() -> None:
    stack = Stack(App(), "Stack", env=EU)
    late = AsyncOptions(max_event_age=Duration.hours(6))
    with pytest.raises(
        ValueError, match=r"asynchronous.max_event_age=21,600.*CodePipeline allows 60 to 1,200"
    ):
        PipelineAction(stack, "Check", code=CODE, handler="index.handler", asynchronous=late)


@pytest.mark.parametrize(("seconds", "warnings"), [(5, 1), (7, 1), (8, 0)])
def test_a_timeout_without_time_for_the_work_is_warned_of(seconds: int, warnings: int) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)
    options = FunctionOptions(timeout=Duration.seconds(seconds))
    PipelineAction(stack, "Check", code=CODE, handler="index.handler", function_options=options)
    found: list[Any] = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("timeout=. seconds: .*7 seconds for the answer")
    )
    assert len(found) == warnings


def theirs(stack: Stack, region: str, account: str) -> codepipeline.IPipeline:
    return codepipeline.Pipeline.from_pipeline_arn(stack, "P", ARN.format(region, account))


def repository(stack: Stack) -> codecommit.IRepository:
    return codecommit.Repository.from_repository_name(stack, "R", "shop")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda s: {"changes": []}, "changes is empty"),
        (
            lambda s: {"topic": sns.Topic(s, "T", fifo=True)},
            "topic=Stack/T: it is a FIFO .*, and the function publishes",
        ),
        (
            lambda s: {"topic": sns.Topic.from_topic_arn(s, "T", "arn:aws:sns:eu-west-3:123456789012:t")},
            "eu-west-3",
        ),
        (lambda s: {"undelivered_queue": sqs.Queue(s, "Q", fifo=True)}, "undelivered_queue=Stack/Q: it is"),
        (
            lambda s: {"undelivered_queue": sqs.Queue(s, "Q", encryption=sqs.QueueEncryption.KMS_MANAGED)},
            "undelivered_queue=Stack/Q: it is encrypted with alias/aws/sqs",
        ),
    ],
)
def test_a_topic_or_queue_that_cannot_be_used_is_refused(
    arguments: Callable[[Stack], dict[str, Any]], message: str
) -> None:
    stack = Stack(App(), "Stack", env=EU)
    given = {"changes": [FAILURES]} | arguments(stack)
    with pytest.raises(ValueError, match=message):
        PipelineEvents(stack, "Events", code=CODE, handler="index.handler", **given)
