"""Calls dev, test and prod of one function, and promotes versions by one value of the template at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from scenarios.delivery.environments.aliases import GRAMS, Aliases
from scenarios.delivery.environments.deployments import Deployments
from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, ScenarioFailed, Story, require
from scenarios.support.faults import Faults
from scenarios.support.shares import bounds
from scenarios.support.stack_updates import UpdateRolledBack

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_WEIGHT = "0.1"

_LAMBDA_MESSAGE = re.compile(r'message: "(?P<reason>.+?) \(Service: Lambda')
_ARN = re.compile(r"arn:\S+:([^:\s]+)")


def run(stack: DeployedStack) -> Outcome:
    """Each environment runs the version that its alias points at, by an ARN and a URL that never change.

    Raises:
        ScenarioFailed: An environment ran another version.
    """
    story = Story("One function in three environments", stack.tell)
    aliases = Aliases(stack)
    for name, target in aliases.targets().items():
        with story.timed(f"a call of {name}"):
            quote = aliases.quote(name)
        require(quote["version"] in target.versions, f"{name} ran {quote['version']}, not {target}")
        story.fact(name, quote["version"])
        story.say(
            f"{name} points at {target}: version {quote['version']} returned {quote['cents']} cents by the "
            f"tariff '{quote['tariff']}'."
        )
    _check_url(aliases, story)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Invoke the function once: it needs no permission of its own.

    Raises:
        ScenarioFailed: The call failed.
    """
    Aliases(stack).quote("prod")


EVENT = BilledEvent("a call of an alias", smoke)

ROLES = (Covered("FunctionName", smoke),)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the versions that no alias points at."""
    return [f"version: {number}" for number in sorted(Aliases(stack).unused_versions(), key=int)]


def drill(stack: DeployedStack, _faults: Faults, *, calls: int = 1000) -> Outcome:
    """Promote new versions by one value each: to a tenth of the calls, back, and to all; reject wrong values.

    Args:
        stack: The deployed stack, on the embedded AWS.
        calls: How many calls prod gets while two versions share them.

    Raises:
        ScenarioFailed: A call reached the wrong version, or a wrong value changed something.
    """
    story = Story("Promotion by one value", stack.tell)
    with closing(Deployments(stack)) as deployments:
        aliases = deployments.aliases
        first = aliases.target("prod").version
        summer = _publish_summer(deployments, story)
        _canary(deployments, summer, calls, story)
        deployments.point("prod", first)
        seen = aliases.versions_seen("prod", 100)
        require(set(seen) == {first}, f"after the change back, prod ran {seen}")
        story.say(f"prod={first} again: 100 of 100 calls are back.")
        _reject_wrong_values(deployments, story)
        deployments.point("prod", summer)
        seen = aliases.versions_seen("prod", 100)
        require(set(seen) == {summer}, f"after the promotion, prod ran {seen}")
        _check_url(aliases, Story(""))
        story.fact("promoted", summer)
        story.say(f"prod={summer}: 100 of 100 calls, and those of its URL, which has not changed.")
    return story.outcome()


def _check_url(aliases: Aliases, story: Story) -> None:
    target = aliases.target("prod")
    response = aliases.request(json.dumps({"grams": GRAMS}).encode())
    require(response.status == 200, f"prod's URL: status {response.status}, {response.body[:200]!r}")
    version, environment = response.json()["version"], response.json()["environment"]
    require(version in target.versions, f"prod's URL ran version {version}, not {target}")
    require(environment == "prod", f"prod's URL ran as environment {environment}")
    rejected = aliases.request(b'{"grams": 0}')
    require(rejected.status == 400, f"a parcel without weight: status {rejected.status}")
    story.fact("URL of prod", version)
    story.say(
        f"prod's function URL, signed: version {version} answered. A parcel without weight: 400, "
        f"{rejected.json()['message']}"
    )


def _publish_summer(deployments: Deployments, story: Story) -> str:
    """Deploy changed code twice: dev follows, test and prod do not, and no published version changes."""
    aliases, before = deployments.aliases, deployments.aliases.targets()
    quote, versions = aliases.quote("prod"), aliases.versions()
    for tariff, cents in (("summer, first try", 90), ("summer", 100)):
        newest = deployments.new_tariff(tariff, cents)
        dev = aliases.quote("dev")
        require(dev["version"] == newest, f"dev ran {dev['version']}; the newest version is {newest}")
        require(dev["tariff"] == tariff, f"dev has the tariff {dev['tariff']!r}")
    now = aliases.versions()
    require(versions.items() <= now.items(), f"published versions changed: {versions} became {now}")
    for name in ("test", "prod"):
        require(aliases.target(name) == before[name], f"{name} moved by itself: {aliases.target(name)}")
    require(aliases.quote("prod") == quote, "prod returns another quote than before")
    story.say(f"Changed the tariff and deployed, twice: dev follows to version {newest}, test and prod stay.")
    deployments.point("test", newest)
    require(aliases.quote("test")["tariff"] == "summer", "test was promoted and has the old tariff")
    story.say(f"test={newest}: the same version, not a new build, answers there; the ARN has not changed.")
    return newest


def _canary(deployments: Deployments, summer: str, calls: int, story: Story) -> None:
    """Give a tenth of the calls to a version, as exactly as chance allows."""
    main = deployments.aliases.target("prod").version
    deployments.point("prod", main, {summer: _WEIGHT})
    with story.timed(f"{calls} calls of a weighted alias"):
        seen = deployments.aliases.versions_seen("prod", calls)
    low, high = bounds(calls, _WEIGHT)
    require(
        low <= seen[summer] <= high and seen[main] == calls - seen[summer],
        f"versions {main} and {summer} got {dict(seen)} of {calls} calls; with weight {_WEIGHT}, {summer} "
        f"gets {low} to {high} in all but one of a million runs",
    )
    story.fact("calls of the weighted alias", calls)
    story.fact("calls of the additional version", seen[summer])
    story.say(
        f"prod={main},{summer}:{_WEIGHT}: {seen[summer]} of {calls:,} calls got the new tariff (chance "
        f"allows {low} to {high} in all but one of a million runs)."
    )


def _reject_wrong_values(deployments: Deployments, story: Story) -> None:
    """Lambda rejects wrong values, nothing changes, and the same code can be deployed afterwards."""
    aliases, before, versions = (
        deployments.aliases,
        deployments.aliases.targets(),
        deployments.aliases.versions(),
    )
    main, newest = before["prod"].version, max(versions, key=int)
    unknown = str(int(newest) + 100)
    values: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("unknown version", unknown, {}),
        ("weight of an unknown version", main, {unknown: _WEIGHT}),
        ("alias of an alias", "test", {}),
        ("$LATEST with a weight", "$LATEST", {newest: _WEIGHT}),
    )
    for what, version, weights in values:
        with _rolled_back(f"prod={', '.join([version, *weights])} ({what})", story):
            deployments.point("prod", version, weights)
        require(aliases.targets() == before, f"{what} changed something: {aliases.targets()}")
    with _rolled_back(f"new code with prod={unknown}", story):
        deployments.new_tariff("autumn", 110, FunctionVersion=unknown)
    require(aliases.targets() == before, f"a failed deployment changed something: {aliases.targets()}")
    require(aliases.versions() == versions, "a failed deployment left a version behind")
    story.fact("rolled back", len(values) + 1)
    autumn = deployments.new_tariff("autumn", 110)
    require(aliases.quote("dev")["tariff"] == "autumn", "dev did not follow after a failed deployment")
    story.say(f"The same code without prod={unknown}: version {autumn}.")


@contextmanager
def _rolled_back(what: str, story: Story) -> Iterator[None]:
    """Expect that Lambda rejects the deployment in the body."""
    try:
        yield
    except UpdateRolledBack as update:
        message = _LAMBDA_MESSAGE.search(str(update))
        if message is None:
            raise ScenarioFailed(f"{what} was rolled back for another reason: {update}") from update
        reason = _ARN.sub(r"…:\1", message["reason"])
        story.say(f"{what}: rolled back, {reason}")
    else:
        raise ScenarioFailed(f"{what} was deployed")
