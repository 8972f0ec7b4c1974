"""Sends state changes, changes of branches and tags, and jobs, and compares notifications and answers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from textwrap import shorten
from typing import Any

from scenarios.events.pipeline_events.releases import Releases
from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_PUBLISH = "sns:Publish"
_SUCCESS, _FAILURE = "PutJobSuccessResult", "PutJobFailureResult"


def run(stack: DeployedStack) -> Outcome:
    """Each change is reported once, and each job has one answer.

    In a real account the events come from the caller and not from the services, and no job is sent.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Changes are reported, and jobs are answered", stack.tell)
    with closing(Releases(stack)) as releases:
        # Longer than the function has for a check, so it starts first.
        slow = releases.start(releases.release("HEALTHY", pause=12)) if stack.deliver_as else None
        _report(releases, story)
        _report_poison_and_duplicates(releases, story)
        _answer_unknown_job(releases, story)
        if slow is None:
            story.say("Not shown: the rules, and answers to jobs. Only the services can send those events.")
        else:
            _continue(releases, story)
            _answer(releases, slow, story)
    return story.outcome()


def _report(releases: Releases, story: Story) -> None:
    chosen = [
        releases.state_change("Pipeline", "SUCCEEDED"),
        releases.state_change("Stage", "FAILED"),
        releases.state_change("Action", "FAILED"),
        *(releases.reference_change(change) for change in ("Created", "Updated", "Deleted")),
        releases.reference_change("Created", "tag"),
    ]
    others = [
        releases.state_change("Pipeline", "STARTED"),
        releases.state_change("Action", "SUCCEEDED"),
        releases.state_change("Pipeline", "FAILED", f"{releases.pipeline}-of-others"),
    ]
    for event in (*(others if releases.stack.deliver_as else ()), *chosen):
        releases.emit(event)
    texts = releases.wait_for_reports(*chosen)
    require(len(texts) == len(chosen), f"the notifications are {texts}")
    story.fact("reported", len(texts))
    story.say("State changes of a pipeline, a stage and an action, three changes of branches and a new tag:")
    for text in sorted(texts):
        story.say(f"    {text}".replace(releases.run_id, "…"))


def _report_poison_and_duplicates(releases: Releases, story: Story) -> None:
    poison, twice = (releases.state_change("Pipeline", "FAILED") for _ in range(2))
    del poison["detail"]["pipeline"]
    before = len(releases.inbox.poll())
    for event in (poison, twice, twice):
        releases.deliver(event)
    (failed,) = releases.failed.wait_for(1)
    require((failed.condition, failed.attempts) == ("RetriesExhausted", 3), f"the queue has {failed}")
    require("incomplete" in failed.reason, f"the queue has {failed}")
    last = releases.state_change("Pipeline", "SUCCEEDED")
    releases.deliver(last)
    texts = releases.wait_for_reports(twice, last)
    require(len(texts) == before + 2, f"an event that came twice: {texts[before:]}")
    story.fact("notifications about an event that came twice", len(texts) - before - 1)
    story.fact("attempts of a poison event", failed.attempts or 0)
    story.say("An event that came twice is reported once. One without a pipeline is in the failure queue.")


def _answer(releases: Releases, slow: str, story: Story) -> None:
    """One answer to each job, from the function itself."""
    healthy = releases.start(releases.release("HEALTHY"))
    broken = releases.start(releases.release("BROKEN"))
    malformed = releases.start("no JSON")
    call = _answer_of(releases, healthy, releases.check, _SUCCESS)
    require(call["outputVariables"]["VERSION"] == "2.4.0", f"the variables are {call}")
    story.say("A healthy release: success, with its version. A broken, a malformed and a slow job: failures.")
    for job, expected in ((broken, "is BROKEN"), (malformed, "JSONDecodeError"), (slow, "time")):
        details = _answer_of(releases, job, releases.check, _FAILURE)["failureDetails"]
        require(expected in details["message"], f"the function said {details}")
        story.say(f"    {details['message']}".replace(releases.run_id, "…"))
    calls = [one for job in (healthy, broken, malformed, slow) for one in releases.calls(job)]
    require(len(calls) == 4, f"the function has called back {len(calls)} times about four jobs")
    story.fact("calls about four jobs", len(calls))


def _answer_of(releases: Releases, job: str, function: str, name: str) -> dict[str, Any]:
    """The parameters of the one answer to a job, which a function has given."""
    call = releases.answer(job)
    require(call["eventName"] == name, f"the answer is {call}")
    role = Faults(releases.stack.session).role_of(function)
    require(f"/{role}/" in call["userIdentity"]["arn"], f"{call['userIdentity']} has answered")
    parameters: dict[str, Any] = call["requestParameters"]
    return parameters


def _continue(releases: Releases, story: Story) -> None:
    """A check that takes longer than an invocation goes on in the next job, with the token."""
    release, token = releases.release("DEPLOYING"), None
    for expected in ("1", "2"):
        job = releases.start(release, token)
        token = _answer_of(releases, job, releases.check, _SUCCESS)["continuationToken"]
        require(token == expected, f"the token is {token}")
    releases.set_state(release["release"], "HEALTHY")
    last = _answer_of(releases, releases.start(release, token), releases.check, _SUCCESS)
    require("continuationToken" not in last, f"the last answer is {last}")
    story.fact("jobs of a long check", 3)
    story.say("A release that is still being deployed: two jobs end with a token, the third with success.")


def _answer_unknown_job(releases: Releases, story: Story) -> None:
    """A job that CodePipeline does not know is in the failure queue of the reporter."""
    releases.pretend(releases.release("HEALTHY"))
    (failed,) = releases.unreported.wait_for(1)
    require("JobNotFoundException" in failed.reason, f"the queue has {failed}")
    story.fact("a job that does not exist", "JobNotFoundException")
    story.say("A job that CodePipeline does not know: its answer is refused, and the event is in a queue.")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Missing permissions, a killed process, a throttle, and a job that comes twice.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Nothing is lost, and no job hangs", stack.tell)
    with closing(Releases(stack)) as releases:
        _lose_permissions(releases, faults, story)
        _cannot_answer(releases, faults, story)
        twice = releases.start(releases.release("HEALTHY"), times=2)
        _answer_of(releases, twice, releases.check, _SUCCESS)
        refused = [one["errorCode"] for one in releases.all_calls(twice, 2) if "errorCode" in one]
        story.fact("second answer to a job", ", ".join(refused))
        story.say("A job that came twice: CodePipeline takes one answer, and refuses the second.")
    return story.outcome()


def _lose_permissions(releases: Releases, faults: Faults, story: Story) -> None:
    """EventBridge may not invoke the function, and the function may not publish."""
    undelivered, unpublished = (releases.state_change("Pipeline", "FAILED") for _ in range(2))
    with faults.not_admitting(releases.function, "events.amazonaws.com"):
        releases.emit(undelivered)
        releases.undelivered.wait_for(1)
    with faults.without_permission(faults.role_of(releases.function), _PUBLISH):
        releases.emit(unpublished)
        (record,) = releases.failed.wait_for(1)
    require("AuthorizationError" in record.reason, f"the failure queue has {record}")
    require(not releases.inbox.poll(), "a lost event is reported")
    story.say("Without the permissions of EventBridge and of the function, each event is in its queue.")
    redriven = releases.redrive("Undelivered") + releases.redrive("Failure")
    texts = releases.wait_for_reports(undelivered, unpublished)
    require(len(texts) == 2, f"the notifications are {texts}")
    story.fact("redriven", redriven)
    story.say("Restored both and redrove both queues: both events are reported.")


def _cannot_answer(releases: Releases, faults: Faults, story: Story) -> None:
    """The function is killed, is not invoked, or may not call CodePipeline: the reporter answers."""
    reporter, role = releases.stack.output("ReporterFunctionName"), faults.role_of(releases.check)
    with releases.stack.faults.function(releases.check, killed=True):
        killed = releases.start(releases.release("HEALTHY"))
        reasons = {"a killed process": _answer_of(releases, killed, reporter, _FAILURE)}
    actions = [one for one in faults.grants(role) if one.action.startswith("codepipeline:")]
    with faults.without(*actions):
        mute = releases.start(releases.release("HEALTHY"))
        reasons["a missing permission"] = _answer_of(releases, mute, reporter, _FAILURE)
    client = releases.stack.client("lambda")
    client.put_function_concurrency(FunctionName=releases.check, ReservedConcurrentExecutions=0)
    try:
        stopped = releases.start(releases.release("HEALTHY"))
        reasons["a stopped function"] = _answer_of(releases, stopped, reporter, _FAILURE)
    finally:
        client.delete_function_concurrency(FunctionName=releases.check)
    story.say("A function that could not answer: its failure destination has reported the failure.")
    for what, call in reasons.items():
        message = call["failureDetails"]["message"]
        require("ended without an answer" in message, f"{what}: {message}")
        story.say(f"    {what}: {shorten(message, 90, placeholder=' …')}")
    story.fact("failures that the reporter has reported", len(reasons))


def smoke_reports(stack: DeployedStack) -> None:
    """Exercise each permission of the function that reports.

    Raises:
        ScenarioFailed: An event was not reported, or a bad one is not in the failure queue.
    """
    with closing(Releases(stack)) as releases:
        good, poison = (releases.state_change("Pipeline", "FAILED") for _ in range(2))
        del poison["detail"]["pipeline"]
        releases.deliver(poison)
        (failed,) = releases.failed.wait_for(1)
        require("incomplete" in failed.reason, f"the failure queue has {failed}")
        releases.deliver(good)
        releases.wait_for_reports(good)
        releases.wait_for_result(good)


def smoke_check(stack: DeployedStack) -> None:
    """Exercise each permission of the function of the action.

    Raises:
        ScenarioFailed: A job has no answer, or not the expected one.
    """
    with closing(Releases(stack)) as releases:
        for state, name in (("HEALTHY", _SUCCESS), ("BROKEN", _FAILURE)):
            _answer_of(releases, releases.start(releases.release(state)), releases.check, name)


def smoke_reporter(stack: DeployedStack) -> None:
    """Exercise each permission of the function that reports failures, unless it fails.

    Raises:
        ScenarioFailed: A job has no answer.
    """
    with closing(Releases(stack)) as releases, stack.faults.function(releases.check, killed=True):
        killed = releases.start(releases.release("HEALTHY"))
        _answer_of(releases, killed, stack.output("ReporterFunctionName"), _FAILURE)


# Queues and destinations for failures: `run` and `drill` read from them what they got.
def one_change(stack: DeployedStack) -> None:
    """Report that a pipeline failed."""
    with closing(Releases(stack)) as releases:
        change = releases.state_change("Pipeline", "FAILED")
        releases.deliver(change)
        releases.wait_for_result(change)


EVENT = BilledEvent("a change of a pipeline is reported", one_change)

ROLES = (
    Covered("FunctionName", smoke_reports, only_for_failures=frozenset({"sqs:SendMessage"})),
    Covered("CheckFunctionName", smoke_check, only_for_failures=frozenset({"lambda:InvokeFunction"})),
    Covered("ReporterFunctionName", smoke_reporter, only_for_failures=frozenset({"sqs:SendMessage"})),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the tables and queues, and the roles that a run has made."""
    roles = stack.client("iam").get_paginator("list_roles").paginate()
    names = [one["RoleName"] for page in roles for one in page["Roles"]]
    return [*left.in_tables(stack), *left.in_queues(stack), *(n for n in names if n.startswith("action-"))]
