"""CodePipeline and CodeCommit → EventBridge rules → Lambda → SNS; CodePipeline → Lambda as an action.

Use ``PipelineEvents`` when what happens in pipelines and repositories needs code: to choose, to word, to call
other services. Do not use it for notifications as they come; the CDK has ``pipeline.notify_on`` for those.
Use ``PipelineAction`` for a step of a pipeline that is a few lines of code. Do not use it for builds, which
have their own action (CodeBuild).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from aws_cdk import Annotations, Duration, RemovalPolicy, Token
from aws_cdk import aws_codecommit as codecommit
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.dead_letters import allow_dead_letters, check_dead_letters
from cdk_lambda_patterns.core.destinations import Destination
from cdk_lambda_patterns.core.event_patterns import check_event_pattern
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.failure_queue import check_standard, make_failure_queue
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import Limit, check_choice, check_strings
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import acknowledge_wildcard, grant_publish
from cdk_lambda_patterns.core.regions import SAME_REGION, check_region
from cdk_lambda_patterns.messaging.async_function import AsyncFunction

# https://docs.aws.amazon.com/codepipeline/latest/userguide/detect-state-changes-cloudwatch-events.html
PipelineState: TypeAlias = Literal[
    "STARTED", "SUCCEEDED", "RESUMED", "FAILED", "STOPPING", "STOPPED", "CANCELED", "SUPERSEDED"
]
StageState: TypeAlias = Literal[
    "STARTED", "SUCCEEDED", "RESUMED", "FAILED", "STOPPING", "STOPPED", "CANCELED"
]
ActionState: TypeAlias = Literal["STARTED", "SUCCEEDED", "FAILED", "CANCELED", "ABANDONED"]
# https://docs.aws.amazon.com/codecommit/latest/userguide/monitoring-events.html
ReferenceEvent: TypeAlias = Literal["referenceCreated", "referenceUpdated", "referenceDeleted"]
ReferenceType: TypeAlias = Literal["branch", "tag"]

# https://git-scm.com/docs/git-check-ref-format
_NOT_IN_NAMES = re.compile(r"[\s\x00-\x1f\x7f~^:?*\[\\]|\.\.|@\{|^/|/$|//|\.lock$")
_LONGEST_NAME = 256  # https://docs.aws.amazon.com/codecommit/latest/APIReference/API_BranchInfo.html

_OWN_BUS = "A pipeline or repository sends its events to the default event bus of its own account and Region"
# An action without an answer fails after 20 minutes. What could not start by then is reported before that.
# https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html
_MINUTES_TO_START = 15
_EVENT_AGE = Limit("CodePipeline", 60, 1_200, "seconds")
_RESERVE = 7  # seconds; what the handler of this library leaves for the answer
# No permission of CodePipeline's jobs is for a resource. The order is that of the CDK's LambdaInvokeAction:
# the CDK writes an equal statement once.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodepipeline.html
_SUCCESS, _FAILURE = "codepipeline:PutJobSuccessResult", "codepipeline:PutJobFailureResult"


@check_types
@dataclass(frozen=True, kw_only=True)
class StateChanges:
    """Which state changes of which pipelines a function gets.

    Args:
        pipelines: Owned, from another stack, or imported. Default: all of the account in the Region.
        pipeline_states: States of executions of a whole pipeline. Default: none.
        stage_states: States of executions of its stages. Default: none.
        action_states: States of executions of its actions. Default: none.

    Raises:
        ValueError: A state does not exist at that level, or nothing is chosen.

    Example::

        StateChanges(pipelines=[releases], pipeline_states=["SUCCEEDED"], action_states=["FAILED"])
    """

    pipelines: Sequence[codepipeline.IPipeline] | None = None
    pipeline_states: Sequence[PipelineState] = ()
    stage_states: Sequence[StageState] = ()
    action_states: Sequence[ActionState] = ()

    def __post_init__(self) -> None:
        _check_choices("pipeline_states", self.pipeline_states, get_args(PipelineState))
        _check_choices("stage_states", self.stage_states, get_args(StageState))
        _check_choices("action_states", self.action_states, get_args(ActionState))
        if not (self.pipeline_states or self.stage_states or self.action_states):
            raise ValueError("pipeline_states, stage_states, action_states: choose states of at least one.")
        if self.pipelines is not None and not self.pipelines:
            raise ValueError("pipelines is empty: give pipelines, or leave it out to get events of all.")

    def patterns(self) -> Iterator[tuple[str, events.EventPattern]]:
        """Return a pattern for each level, with the name of the level."""
        arns = [pipeline.pipeline_arn for pipeline in self.pipelines or ()]
        for level, states in (
            ("Pipeline", self.pipeline_states),
            ("Stage", self.stage_states),
            ("Action", self.action_states),
        ):
            if states:
                pattern = events.EventPattern(
                    source=["aws.codepipeline"],
                    detail_type=[f"CodePipeline {level} Execution State Change"],
                    resources=arns or None,
                    detail={"state": list(states)},
                )
                yield level, pattern


@check_types
@dataclass(frozen=True, kw_only=True)
class ReferenceChanges:
    """Which changes of branches and tags of which CodeCommit repositories a function gets.

    They come by EventBridge and not by a trigger of the repository (``repository.notify``): a rule also works
    for imported repositories, EventBridge retries for 24 hours, and has a dead-letter queue.

    Args:
        repositories: Owned, from another stack, or imported.
        reference_events: Created, updated (a push or a merge) and deleted. Default: all three.
        reference_types: Branches and tags. Default: both.
        reference_names: The names of branches or tags, such as ``main``, as a whole. Default: all.

    Raises:
        ValueError: A choice does not exist, no branch or tag can have a name, or nothing is chosen.

    Example::

        ReferenceChanges(repositories=[repository], reference_names=["main"])
    """

    repositories: Sequence[codecommit.IRepository]
    reference_events: Sequence[ReferenceEvent] = get_args(ReferenceEvent)
    reference_types: Sequence[ReferenceType] = get_args(ReferenceType)
    reference_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        _check_choices("reference_events", self.reference_events, get_args(ReferenceEvent))
        _check_choices("reference_types", self.reference_types, get_args(ReferenceType))
        check_strings("reference_names", self.reference_names or ())
        for name in ("repositories", "reference_events", "reference_types", "reference_names"):
            given = getattr(self, name)
            if given is not None and not given:
                raise ValueError(f"{name} is empty: no event would match; give at least one.")
        names = list(self.reference_names or ())
        for number, name in enumerate(() if Token.is_unresolved(names) else names):
            if not Token.is_unresolved(name):
                _check_reference_name(f"reference_names[{number}]", name)

    def patterns(self) -> Iterator[tuple[str, events.EventPattern]]:
        """Return the pattern, with a name."""
        names = {"referenceName": list(self.reference_names)} if self.reference_names else {}
        chosen = {"event": list(self.reference_events), "referenceType": list(self.reference_types), **names}
        pattern = events.EventPattern(
            source=["aws.codecommit"],
            detail_type=["CodeCommit Repository State Change"],
            resources=[repository.repository_arn for repository in self.repositories],
            detail=chosen,
        )
        yield "Reference", pattern


@check_types
class PipelineEvents(Construct):
    """A function that reports what happens in pipelines and repositories to a topic.

    It builds a rule for each level of state changes and for branches and tags, the function with the
    permission to publish, the topic (unless you give one), and two queues. What EventBridge cannot deliver,
    because the function or the permission is gone, goes to the dead-letter queue of the *rules*. What the
    function failed to report in three attempts goes to the failure queue of the *function*.

    CodePipeline and EventBridge deliver at least once. The function is an ``AsyncFunction``: it gets a table
    for Powertools' idempotency, and the variables ``IDEMPOTENCY_TABLE_NAME`` and
    ``IDEMPOTENCY_EXPIRES_AFTER``. The id of the event is the key. ``TOPIC_ARN`` is the topic.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        changes: Which state changes of pipelines, and which changes of branches and tags.
        handler: ``module.function`` in that folder.
        topic: Owned, from another stack, or imported. Default: a new one.
        undelivered_queue: The dead-letter queue of the rules. Default: a new one.
        idempotency_table: As for ``AsyncFunction``. Default: a new table.
        asynchronous: Retries and maximum age of the events, and what else Lambda does with them.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to table, queues and logs when the stack is deleted. Default: they are
            retained.

    Raises:
        ValueError: Nothing is chosen, topic or queue is FIFO, or something is in another Region or account.

    Attributes:
        topic (ITopic): The topic.
        function (HardenedFunction): The function.
        rules (tuple): The rules.
        idempotency_table (ITable): The table with the events that were reported.
        undelivered_queue (IQueue): What EventBridge could not deliver.
        failure_queue (IQueue | None): What the function failed to report.

    Example::

        failures = StateChanges(pipeline_states=["FAILED"])
        releases = PipelineEvents(self, "Releases", code="worker", changes=[failures])
        releases.topic.add_subscription(subscriptions.EmailSubscription("team@example.com"))

    https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-codepipeline.html
    https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-codecommit.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        changes: Sequence[StateChanges | ReferenceChanges],
        handler: str = DEFAULT_HANDLER,
        topic: sns.ITopic | None = None,
        undelivered_queue: sqs.IQueue | None = None,
        idempotency_table: dynamodb.ITable | None = None,
        asynchronous: AsyncOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        if not changes:
            raise ValueError("changes is empty: give StateChanges, ReferenceChanges, or both.")
        for number, one in enumerate(changes):
            name = "pipelines" if isinstance(one, StateChanges) else "repositories"
            sources = enumerate(getattr(one, name) or ())
            given = {f"changes[{number}].{name}[{place}]": source for place, source in sources}
            check_region(scope, _OWN_BUS, given, in_account=True)
        check_standard("topic", topic, "the function publishes to standard ones only")
        check_region(scope, SAME_REGION, {"topic": topic})
        check_dead_letters("undelivered_queue", undelivered_queue, "EventBridge")
        reason = "The dead-letter queue is used in the Region of its rule"
        check_region(scope, reason, {"undelivered_queue": undelivered_queue})
        super().__init__(scope, id)

        self.topic: sns.ITopic = topic or sns.Topic(self, "Topic", enforce_ssl=True)
        reports = AsyncFunction(
            self,
            "Reports",
            code=code,
            handler=handler,
            asynchronous=asynchronous,
            idempotency_table=idempotency_table,
            function_options=function_options,
            network=network,
            removal_policy=removal_policy,
        )
        self.function = reports.function
        self.function.add_environment("TOPIC_ARN", self.topic.topic_arn)
        grant_publish(self.function.execution_role, self.topic)
        self.idempotency_table = reports.idempotency_table
        self.failure_queue = reports.failure_queue
        self.undelivered_queue: sqs.IQueue = undelivered_queue or make_failure_queue(
            self, "UndeliveredQueue", removal_policy=removal_policy
        )
        dead_letters = allow_dead_letters(self, self.undelivered_queue, "events.amazonaws.com")
        patterns = [named for one in changes for named in one.patterns()]
        names = [name for name, _ in patterns]
        target = targets.LambdaFunction(self.function, dead_letter_queue=dead_letters)
        self.rules: tuple[events.Rule, ...] = tuple(
            events.Rule(
                self, f"{name}Rule{names[:number].count(name) or ''}", event_pattern=pattern, targets=[target]
            )
            for number, (name, pattern) in enumerate(patterns)
        )
        for rule in self.rules:
            check_event_pattern("event pattern of changes", rule)


@check_types
class PipelineAction(Construct):
    """A function for a step of a pipeline, and another one that answers when the first one could not.

    CodePipeline invokes the function asynchronously and waits until it calls back: ``PutJobSuccessResult``,
    with a continuation token if it needs another invocation, or ``PutJobFailureResult``. The code of a
    killed process cannot. So the failure destination of the function is a function of this library, which
    reports the failure of the job unless it has an answer. Otherwise, the action would hang for 20 minutes.

    It builds both functions with the permissions to call back. Give ``function`` to the CDK's
    ``LambdaInvokeAction``, which adds the permission to invoke it to the role of the action. Give no alias of
    it: aliases and versions have failure destinations of their own.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        asynchronous: Retries and maximum age of the events. Default: no retry, so that a failure is reported
            at once, and 15 minutes, because CodePipeline waits for 20. With retries, the failure is reported
            after the last one. ``dead_letter_queue`` gets the whole job, with its credentials.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to queue and logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: A setting of the function is outside what Lambda allows, or events may wait longer than
            CodePipeline does.

    Attributes:
        function (HardenedFunction): The function.
        failure_reporter (HardenedFunction): Reports the failure of jobs that the function did not answer.
        failure_queue (IQueue): What the reporter failed to report: whole jobs, with their temporary
            credentials for artifacts. Let few read it.

    Example::

        check = PipelineAction(self, "Check", code="worker")
        actions = [codepipeline_actions.LambdaInvokeAction(action_name="Check", lambda_=check.function)]

    https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-Lambda.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        handler: str = DEFAULT_HANDLER,
        asynchronous: AsyncOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        given = asynchronous or AsyncOptions()
        _EVENT_AGE.check("asynchronous.max_event_age", given.max_event_age)
        in_time = replace(
            given,
            retry_attempts=given.retry_attempts or 0,
            max_event_age=given.max_event_age or Duration.minutes(_MINUTES_TO_START),
        )
        super().__init__(scope, id)
        _warn_if_short(self, function_options)
        self.failure_reporter = HardenedFunction(
            self,
            "FailureReporter",
            code=pattern_source("events", "pipeline_events"),
            handler="pipeline_events.action.report_failure",
            description="Reports the failure of jobs of CodePipeline whose function did not answer",
            environment={"POWERTOOLS_SERVICE_NAME": "failure-reporter"},
            asynchronous=AsyncOptions(),
            removal_policy=removal_policy,
        )
        _allow(self.failure_reporter, _FAILURE)
        assert self.failure_reporter.failure_queue is not None
        self.failure_queue: sqs.IQueue = self.failure_reporter.failure_queue
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            asynchronous=in_time,
            on_failure=Destination("on_failure", self.failure_reporter),
            options=function_options,
            network=network,
            removal_policy=removal_policy,
        )
        _allow(self.function, _SUCCESS, _FAILURE)


def _allow(function: HardenedFunction, *actions: str) -> None:
    role = function.execution_role
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=["*"]))
    acknowledge_wildcard(role, "*", "Jobs of CodePipeline and X-Ray have no resource-level permissions.")


def _warn_if_short(scope: Construct, options: FunctionOptions | None) -> None:
    timeout = None if options is None else options.timeout
    if timeout is None or timeout.is_unresolved() or timeout.to_seconds(integral=False) > _RESERVE:
        return
    Annotations.of(scope).add_warning_v2(
        "cdk-lambda-patterns:noTimeForWork",
        f"function_options.timeout={timeout.to_seconds(integral=False):.0f} seconds: action.py of this "
        f"library leaves {_RESERVE} seconds for the answer, so every job would fail at once. Give more, or "
        "change that in your copy.",
    )


def _check_reference_name(argument: str, name: str) -> None:
    short = re.sub("^refs/(heads|tags)/", "", name)
    if short and short != name:
        raise ValueError(
            f"{argument}={name!r}: events have the name without refs/heads/ or refs/tags/; give {short!r}."
        )
    if not 0 < len(name) <= _LONGEST_NAME or _NOT_IN_NAMES.search(name):
        raise ValueError(
            f"{argument}={name!r}: no branch or tag can have this name, so no event would match; give a "
            f"whole name of 1 to {_LONGEST_NAME} characters. There are no wildcards."
        )


def _check_choices(name: str, values: Sequence[str], allowed: Sequence[str]) -> None:
    check_strings(name, values)
    for number, value in enumerate(values):
        check_choice(f"{name}[{number}]", value, allowed)
