"""Releases good and bad versions of a function to callers who never stop, and counts what they got."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from scenarios.delivery.callers import Phase
from scenarios.delivery.releases import Releases, app_spec
from scenarios.framework import DeployedStack, Outcome, Story, require
from scenarios.support.faults import Faults

# What the embedded AWS accepts and does not do, and why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

CALLS = 50
LEAST_CALLS = 200  # below, even no call at all of the new version might be chance


def run(stack: DeployedStack) -> Outcome:
    """Callers of the alias, and the AppSpec of the last release.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("Callers get the version that the alias points at", stack.tell)
    releases = Releases(stack)
    shares = releases.callers.shares()
    require(len(shares) == 1, f"a release is going on: the alias leads to {shares}; run it once it is over")
    [version] = shares
    with story.timed("calls"):
        answers = [releases.callers.call() for _ in range(CALLS)]
    for call, answer in answers:
        require(not call.failed, f"version {call.version} failed: {answer}")
        require(answer["cents"] == 100 * answer["article"] + 99, f"a wrong price: {answer}")
    got = Counter(call.version for call, _ in answers)
    require(set(got) == {version}, f"the alias points at version {version}, and callers got {dict(got)}")
    named = {answer["release"] for _, answer in answers}
    require(len(named) == 1, f"callers of one version got several releases: {named}")
    story.say(f"Called the alias {CALLS} times: version {version} answered all, and every price was right.")
    tell_app_spec(story, releases)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """The shortest way past everything that hooks and CodeDeploy may do: for checks that repeat it often.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    Releases(stack).release_by_hand()


def tell_app_spec(story: Story, releases: Releases) -> None:
    """Show what the last deployment was told to do."""
    deployment = releases.last_deployment()
    if deployment is None:
        story.say("Nothing was released by CodeDeploy yet: a new alias points at its first version at once.")
        return
    story.say(f"The AppSpec of deployment {deployment['deploymentId']} ({deployment['status']}):")
    for line in json.dumps(app_spec(deployment), indent=2).splitlines():
        story.say(line)


def drill(stack: DeployedStack, _faults: Faults) -> Outcome:
    """A good release, and four that do not become one: smoke, alarm, stopped, cancelled.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("Good releases reach everybody, bad ones are taken back", stack.tell)
    release_a_good_one(stack, story)
    refuse_what_a_smoke_case_finds(stack, story)
    take_back_what_fails_in_traffic(stack, story)
    interrupt(stack, story)
    return story.outcome()


@contextmanager
def _released(stack: DeployedStack, behaviour: str) -> Iterator[Releases]:
    """Begin a release in the middle of traffic."""
    releases = Releases(stack)
    with releases.callers.calling():
        releases.start(behaviour)
        yield releases


def release_a_good_one(stack: DeployedStack, story: Story) -> None:
    """A good release reaches all callers, over a canary.

    Raises:
        ScenarioFailed: Callers got other versions, or in other shares, than the strategy says.
    """
    with story.timed("good release"), _released(stack, "good") as releases:
        releases.finish()
    phases = releases.callers.phases()
    require(len(phases) == 3, f"the alias should change twice: {[phase.shown() for phase in phases]}")
    before, canary, after = phases
    [old], [new] = before.shares, after.shares
    require(
        set(canary.shares) == {old, new} and max(canary.shares, key=canary.shares.__getitem__) == old,
        f"a canary of the new version is expected, and the alias led to {canary.shown()}",
    )
    story.say(f"Released version {new} while {len(releases.callers.calls):,} calls went through the alias:")
    for phase in phases:
        phase.check()
        story.say(f"  {phase.shown()}: {_counted(phase)}")
    require(len(canary.calls) >= LEAST_CALLS, f"too few calls to tell: {len(canary.calls)}")
    failed = sum(call.failed for call in releases.callers.calls)
    require(failed == 0, f"{failed} callers got an error during a good release")
    story.say("No share is off by more than chance explains once in a million runs; no caller got an error.")
    tell_app_spec(story, releases)


def refuse_what_a_smoke_case_finds(stack: DeployedStack, story: Story) -> None:
    """A release whose prices are wrong never meets a caller.

    Raises:
        ScenarioFailed: It did, or was not taken back.
    """
    began = time.time()
    with story.timed("smoke case fails"), _released(stack, "wrong") as releases:
        releases.must_be_taken_back()
    _only_the_old_version_answered(releases)
    deployment = releases.last_deployment()
    require(deployment is not None and deployment["status"] == "Failed", f"the deployment: {deployment}")
    found = releases.failed_case(began - 1)
    story.say(
        f'Released wrong prices: the case "{found["case"]}" failed ({found["reason"]}), the stack rolled '
        f"back, and none of {len(releases.callers.calls):,} calls met the version."
    )


def take_back_what_fails_in_traffic(stack: DeployedStack, story: Story) -> None:
    """A release that the smoke cases let pass trips an alarm, and is taken back.

    Raises:
        ScenarioFailed: It was not.
    """
    with story.timed("alarm"), _released(stack, "fails") as releases:
        shares = releases.wait_for_canary()
        releases.must_be_taken_back()
    [old, new] = shares
    _old_version_works(releases, old)
    deployment = releases.last_deployment() or {}
    code = deployment.get("errorInformation", {}).get("code")
    require(code == "ALARM_ACTIVE", f"an alarm should have stopped the deployment: {deployment}")
    calls = releases.callers.calls
    failed = [call for call in calls if call.failed]
    require(bool(failed), "no caller met the error, so nothing is proven")
    require({call.version for call in failed} == {new}, f"not only the new version failed: {failed[:3]}")
    share = len(failed) / len(calls)
    story.say(
        f"Released an error for every third article: {len(failed)} of {len(calls):,} callers ({share:.1%}) "
        f"got it until the alarm stopped the deployment ({code}); then version {old} answered all again."
    )


def interrupt(stack: DeployedStack, story: Story) -> None:
    """A deployment that is stopped, and an update that is cancelled, leave a version that works.

    Raises:
        ScenarioFailed: They do not.
    """
    for what, how in (
        ("the deployment was stopped", Releases.stop),
        ("the update of the stack was cancelled", Releases.cancel),
    ):
        with story.timed(what), _released(stack, "good") as releases:
            shares = releases.wait_for_canary()
            how(releases)
            releases.must_be_taken_back()
        [old, new] = shares
        _old_version_works(releases, old)
        calls = releases.callers.calls
        met = sum(call.version == new for call in calls)
        require(not any(call.failed for call in calls), "a caller got an error")
        story.say(
            f"In the middle of a release {what}: version {old} answers all again; {met} of {len(calls):,} "
            "callers had met the new one, and nobody got an error."
        )


def _old_version_works(releases: Releases, old: str) -> None:
    shares = releases.callers.shares()
    require(shares == {old: 1}, f"the alias should lead to version {old} alone, and leads to {shares}")
    call, answer = releases.callers.call()
    require(call.version == old and not call.failed, f"version {old} should answer: {call}, {answer}")


def _only_the_old_version_answered(releases: Releases) -> None:
    phases = releases.callers.phases()
    require(len(phases) == 1, f"the alias moved: {[phase.shown() for phase in phases]}")
    phases[0].check()
    versions = {call.version for call in releases.callers.calls}
    require(versions == set(phases[0].shares), f"callers met versions {versions}")


def _counted(phase: Phase) -> str:
    counts = " and ".join(f"{phase.counts[version]:,}" for version in phase.shares)
    return f"{counts} of {len(phase.calls):,} calls"
