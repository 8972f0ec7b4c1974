"""Releases good and bad versions of a function while callers invoke it, and counts what they got."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from scenarios.delivery.canary_alias.callers import Phase
from scenarios.delivery.canary_alias.releases import Releases, app_spec, target_version
from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.support import charts
from scenarios.support.faults import Faults

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

CALLS = 50
MIN_CALLS = 200  # with fewer calls, chance would even explain none at all for a tenth


def run(stack: DeployedStack) -> Outcome:
    """Call the alias, and show the AppSpec of the last release.

    Raises:
        ScenarioFailed: A call reached another version than the alias points at, or a price is wrong.
    """
    story = Story("The alias's version answers every call", stack.tell)
    releases = Releases(stack)
    shares = releases.callers.shares()
    require(len(shares) == 1, f"a release is running, the alias points at {shares}; try again later")
    [version] = shares
    with story.timed("calls"):
        responses = [releases.callers.call() for _ in range(CALLS)]
    for call, response in responses:
        require(not call.failed, f"version {call.version} failed: {response}")
        require(response["cents"] == 100 * response["article"] + 99, f"a wrong price: {response}")
    counts = Counter(call.version for call, _ in responses)
    require(set(counts) == {version}, f"the alias points at version {version}; calls reached {dict(counts)}")
    names = {response["release"] for _, response in responses}
    require(len(names) == 1, f"one version returned several releases: {names}")
    story.fact("version", version)
    story.fact("right prices", len(responses))
    story.say(f"Called the alias {CALLS} times: version {version} answered all, with the right prices.")
    _show_app_spec(story, releases)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Use each permission of the hooks and of CodeDeploy once: release a version, which deletes an old one.

    A few old versions remain for the next call, or the next release, to delete.

    Raises:
        ScenarioFailed: The release failed, or the old version was not deleted.
    """
    releases = Releases(stack)
    [current] = releases.callers.shares()
    while len(old := sorted(releases.versions() - {current}, key=int)) <= releases.versions_kept():
        releases.publish()
    with releases.trial() as target:
        releases.release_directly(current, target)
        left = releases.versions()
        require(old[0] not in left, f"version {old[0]} is not deleted; there are {sorted(left)}")
        require(current in left, f"version {current} is deleted although an alias points at it")


EVENT = BilledEvent("a call of the alias", lambda stack: Releases(stack).callers.call())

ROLES = (
    Covered("PreTrafficFunctionName", smoke, patience=20, takes_long=True),
    Covered("PostTrafficFunctionName", smoke, patience=20, takes_long=True),
    Covered("DeploymentGroupName", smoke, function="PreTrafficFunctionName", patience=20, takes_long=True),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the versions whose release failed, and two versions behind the alias."""
    releases = Releases(stack)
    failed = {target_version(one) for one in releases.deployments() if one["status"] != "Succeeded"}
    found = [f"version of a failed release: {version}" for version in sorted(failed & releases.versions())]
    shares = releases.callers.shares()
    return found if len(shares) == 1 else [*found, f"alias: {sorted(shares)}"]


def drill(stack: DeployedStack, _faults: Faults) -> Outcome:
    """Four releases that are rolled back, by smoke test, alarm, stop and cancellation, and one good one.

    The good one is the fix of the version whose alarm rang, and follows it immediately.

    Raises:
        ScenarioFailed: A good release did not reach all callers, or another one was not rolled back.
    """
    story = Story("Good releases reach all callers, bad ones are rolled back", stack.tell)
    fail_the_smoke_test(stack, story)
    panels = [trip_an_alarm(stack, story), release_a_good_version(stack, story)]
    interrupt(stack, story)
    title = "Calls that got the new version (bars), the weight of the alias (line), failed calls (dots)"
    return story.outcome([charts.save(stack.out / "canary-alias.svg", charts.shares(title, panels))])


@contextmanager
def _released(stack: DeployedStack, behaviour: str) -> Iterator[Releases]:
    """Start a release while callers invoke the alias."""
    releases = Releases(stack)
    with releases.callers.calling():
        releases.start(behaviour)
        yield releases


def release_a_good_version(stack: DeployedStack, story: Story) -> charts.Shares:
    """Release a good version: first a share of the calls, then all of them.

    Raises:
        ScenarioFailed: Calls reached other versions, or in other shares, than configured.
    """
    versions = Releases(stack).versions()
    with story.timed("good release"), _released(stack, "good") as releases:
        releases.finish()
    phases = releases.callers.phases()
    require(len(phases) == 3, f"the alias should change twice: {[str(phase) for phase in phases]}")
    before, canary, after = phases
    [old], [new] = before.shares, after.shares
    require(
        set(canary.shares) == {old, new} and max(canary.shares, key=canary.shares.__getitem__) == old,
        f"there should be a canary of the new version; the alias pointed at {canary}",
    )
    story.say(f"Released version {new} during {len(releases.callers.calls):,} calls of the alias:")
    for phase in phases:
        phase.check()
        story.say(f"  {phase}: {_counted(phase)}")
    require(len(canary.calls) >= MIN_CALLS, f"too few calls for a verdict: {len(canary.calls)}")
    failed = sum(call.failed for call in releases.callers.calls)
    require(failed == 0, f"{failed} calls failed during a good release")
    released = target_version(next(releases.deployments()))
    require(released == new, f"the alias points at version {new}; CodeDeploy released version {released}")
    published = releases.versions() - versions
    require(published == {new}, f"versions {sorted(published)} were published for one release")
    story.fact("released version", new)
    story.fact("failed calls of the good release", failed)
    story.say("Each share is within what chance allows in all but one of a million runs; no call failed.")
    _show_app_spec(story, releases)
    return releases.callers.chart("A good version is released")


def fail_the_smoke_test(stack: DeployedStack, story: Story) -> None:
    """Release a version with wrong prices: no call reaches it.

    Raises:
        ScenarioFailed: A call reached it, or it was not rolled back.
    """
    began = time.time()
    with story.timed("smoke test fails"), _released(stack, "wrong") as releases:
        releases.must_roll_back()
    phases = releases.callers.phases()
    require(len(phases) == 1, f"the alias moved: {[str(phase) for phase in phases]}")
    phases[0].check()
    versions = {call.version for call in releases.callers.calls}
    require(versions == set(phases[0].shares), f"calls reached versions {versions}")
    deployment = next(releases.deployments())
    require(deployment["status"] == "Failed", f"the deployment: {deployment}")
    entry = releases.failed_case(began - 1)
    require(entry["case"] == "first article", f"another case failed: {entry}")
    story.fact("failed case", entry["case"])
    story.say(
        f'Released wrong prices: the case "{entry["case"]}" failed ({entry["reason"]}), the stack rolled '
        f"back, and none of {len(releases.callers.calls):,} calls reached the version."
    )


def trip_an_alarm(stack: DeployedStack, story: Story) -> charts.Shares:
    """Release a version whose errors only traffic shows: an alarm stops it.

    Raises:
        ScenarioFailed: It was not rolled back, or for another reason.
    """
    with story.timed("alarm"), _released(stack, "fails") as releases:
        shares = releases.wait_for_canary()
        releases.must_roll_back()
    [old, new] = shares
    _check_old_version(releases, old)
    deployment = next(releases.deployments())
    code = deployment.get("errorInformation", {}).get("code")
    require(code == "ALARM_ACTIVE", f"an alarm should have stopped the deployment: {deployment}")
    calls = releases.callers.calls
    failed = [call for call in calls if call.failed]
    require(bool(failed), "no call failed, so nothing is proven")
    require({call.version for call in failed} == {new}, f"not only the new version failed: {failed[:3]}")
    story.fact("error code of the alarm", code)
    story.say(
        f"Released an error for every third article: {len(failed)} of {len(calls):,} calls "
        f"({len(failed) / len(calls):.1%}) failed until the alarm stopped the deployment ({code}); then "
        f"version {old} answered all calls again."
    )
    return releases.callers.chart("A version that fails is stopped by an alarm, and rolled back")


def replace_a_bad_version(stack: DeployedStack) -> None:
    """Release a fix while the alarm of the version that has all calls rings.

    Raises:
        UpdateRolledBack: The alarm stopped the fix.
        ScenarioFailed: The fix failed.
    """
    releases = Releases(stack)
    releases.start("fails")  # without any calls during this release, no alarm rings
    releases.finish()
    [bad] = releases.callers.shares()
    releases.call_until_the_alarm_rings()
    with _released(stack, "good") as fix:
        fix.finish()
    failed = [call for call in fix.callers.calls if call.failed and call.version != bad]
    require(not failed, f"the fix failed: {failed[:3]}")
    require(fix.callers.shares().keys() != {bad}, f"version {bad} is still live")


def interrupt(stack: DeployedStack, story: Story) -> None:
    """Stop a deployment, and cancel an update of the stack: the old version answers all calls again.

    Raises:
        ScenarioFailed: It does not, or a call failed.
    """
    for what, how in (
        ("stopped the deployment", Releases.stop),
        ("cancelled the update of the stack", Releases.cancel),
    ):
        with story.timed(what), _released(stack, "good") as releases:
            shares = releases.wait_for_canary()
            how(releases)
            releases.must_roll_back()
        [old, new] = shares
        _check_old_version(releases, old)
        calls = releases.callers.calls
        canary = sum(call.version == new for call in calls)
        failed = sum(call.failed for call in calls)
        require(failed == 0, f"{what}: {failed} calls failed")
        story.fact(f"failed calls: {what}", failed)
        story.say(
            f"{what.capitalize()} in the middle of a release: version {old} answers all calls again. "
            f"{canary} of {len(calls):,} calls had reached the new version; none failed."
        )


def _check_old_version(releases: Releases, old: str) -> None:
    shares = releases.callers.shares()
    require(shares == {old: 1}, f"the alias should point at version {old} only; it points at {shares}")
    call, response = releases.callers.call()
    require(call.version == old and not call.failed, f"version {old} should answer: {call}, {response}")


def _show_app_spec(story: Story, releases: Releases) -> None:
    deployment = next(releases.deployments(), None)
    if deployment is None:
        story.say("CodeDeploy has released nothing yet: a new alias points at its first version at once.")
        return
    story.say(f"The AppSpec of deployment {deployment['deploymentId']} ({deployment['status']}):")
    for line in json.dumps(app_spec(deployment), indent=2).splitlines():
        story.say(line)


def _counted(phase: Phase) -> str:
    counts = " and ".join(f"{phase.counts[version]:,}" for version in phase.shares)
    return f"{counts} of {len(phase.calls):,} calls"
