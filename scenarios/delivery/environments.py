"""Asks dev, test and prod of one function, and promotes versions by one value of the template at a time."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from scenarios.framework import DeployedStack, Outcome, ScenarioFailed, Story, require
from scenarios.support.endpoints import Endpoint, HttpResponse
from scenarios.support.faults import Faults
from scenarios.support.shares import bounds
from scenarios.support.stack_updates import StackUpdates, Template, UpdateRefused

# What the embedded AWS accepts and does not do, and why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

ENVIRONMENTS = ("dev", "test", "prod")

_GRAMS = 1200  # two kilograms that have begun
_AT_ONCE = 8
_WEIGHT = "0.1"

_LAMBDA_SAID = re.compile(r'message: "(?P<reason>.+?) \(Service: Lambda')
_ARN = re.compile(r"arn:\S+:([^:\s]+)")


@dataclass(frozen=True)
class Target:
    """What an alias points at.

    Args:
        version: The number of its version.
        weights: The share of each further version.
    """

    version: str
    weights: Mapping[str, float]

    def __str__(self) -> str:
        return ", ".join([f"version {self.version}", *(f"{v}: {w:g}" for v, w in self.weights.items())])


class Aliases:
    """The function's environments, as their callers see them.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._lambda = stack.client("lambda")
        self.function = stack.output("FunctionName")

    def arns(self) -> dict[str, str]:
        """What the stack gave out for triggers, by environment."""
        return {name: self._stack.output(f"{name.capitalize()}Arn") for name in ENVIRONMENTS}

    def target(self, name: str) -> Target:
        """What an alias points at, as Lambda says."""
        alias = self._lambda.get_alias(FunctionName=self.function, Name=name)
        require(alias["AliasArn"] == self.arns()[name], f"{name}: its ARN is now {alias['AliasArn']}")
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        return Target(alias["FunctionVersion"], weights)

    def targets(self) -> dict[str, Target]:
        """What every alias points at."""
        return {name: self.target(name) for name in ENVIRONMENTS}

    def quote(self, name: str) -> dict[str, Any]:
        """Ask an environment by its ARN what the parcel costs."""
        answer = self._lambda.invoke(
            FunctionName=self.arns()[name], Payload=json.dumps({"grams": _GRAMS}).encode()
        )
        quote: dict[str, Any] = json.loads(answer["Payload"].read())
        require("FunctionError" not in answer, f"{name} answered {quote}")
        require(quote["environment"] == name, f"{name} was told to be {quote['environment']}")
        ran = answer["ExecutedVersion"]
        require(quote["version"] == ran, f"{name} ran version {ran}, which says it is {quote['version']}")
        return quote

    def versions_seen(self, name: str, calls: int) -> Counter[str]:
        """Ask an environment often, and count which version answered."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return Counter(quote["version"] for quote in pool.map(self.quote, [name] * calls))

    def over_http(self, body: bytes) -> HttpResponse:
        """Send a signed request to prod's function URL."""
        url = self._stack.output("ProdUrl")
        request = AWSRequest("POST", url, data=body, headers={"content-type": "application/json"})
        credentials = self._stack.session.get_credentials()
        assert credentials is not None
        SigV4Auth(credentials, "lambda", self._stack.session.region_name).add_auth(request)
        signed = [(key, value) for key, value in request.headers.items() if key.lower() != "host"]
        return Endpoint.of(self._stack, url.rstrip("/")).request("POST", "/", headers=signed, body=body)


def run(stack: DeployedStack) -> Outcome:
    """Each environment reaches the version that it points at, by an ARN and a URL that name no version.

    Raises:
        ScenarioFailed: Something is not as it should be.
    """
    story = Story("One function in three environments", stack.tell)
    aliases = Aliases(stack)
    for name, target in aliases.targets().items():
        with story.timed(f"a call of {name}"):
            quote = aliases.quote(name)
        known = {target.version, *target.weights}
        require(quote["version"] in known, f"{name} ran version {quote['version']} and points at {target}")
        story.say(
            f"{name} points at {target}: version {quote['version']} answered, {quote['cents']} cents "
            f"by the tariff '{quote['tariff']}'."
        )
    _check_url(aliases, story)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """The shortest way past everything that the function may do: for checks that repeat it often.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    Aliases(stack).quote("prod")


def _check_url(aliases: Aliases, story: Story) -> None:
    answer = aliases.over_http(json.dumps({"grams": _GRAMS}).encode())
    target = aliases.target("prod")
    require(answer.status == 200, f"prod's URL answered {answer.status}: {answer.body[:200]!r}")
    require(answer.json()["version"] in {target.version, *target.weights}, f"its URL ran {answer.json()}")
    require(answer.json()["environment"] == "prod", f"prod's URL reached {answer.json()['environment']}")
    refused = aliases.over_http(b'{"grams": 0}')
    require(refused.status == 400, f"a parcel without weight was answered with {refused.status}")
    story.say(
        f"prod's function URL, signed: version {answer.json()['version']} answered. "
        f"A parcel without weight: 400, {refused.json()['message']}"
    )


def drill(stack: DeployedStack, _faults: Faults, *, calls: int = 1000) -> Outcome:
    """New versions, promoted by one value each, to a tenth, back, and to all; wrong values change nothing.

    Args:
        stack: The deployed stack, on the embedded AWS.
        calls: How many callers prod has while two versions share them.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("Promotion by one value", stack.tell)
    with _deployments(stack) as deployments:
        aliases, before = deployments.aliases, deployments.aliases.targets()
        summer = _publish_summer(deployments, story)
        _canary(deployments, summer, calls, story)
        deployments.point("prod", before["prod"].version)
        seen = aliases.versions_seen("prod", 100)
        require(set(seen) == {before["prod"].version}, f"after the way back, prod ran {seen}")
        story.say(f"The value back to {before['prod'].version}: 100 of 100 callers are there again.")
        _refuse_wrong_values(deployments, story)
        deployments.point("prod", summer)
        seen = aliases.versions_seen("prod", 100)
        require(set(seen) == {summer}, f"after the promotion, prod ran {seen}")
        _check_url(aliases, Story(""))
        story.say(f"prod={summer}: 100 of 100 callers, and those of its URL, which is the same as before.")
    return story.outcome()


class Deployments:
    """Deploys the stack again with one thing changed, and puts it back as it was.

    Args:
        stack: The deployed stack, on the embedded AWS.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.aliases = Aliases(stack)
        self._updates = StackUpdates(stack)
        self._lambda = stack.client("lambda")
        self._original = self._updates.template()
        resources = self._original["Resources"]
        (self._function_id,) = (
            logical_id
            for logical_id, resource in resources.items()
            if resource["Type"] == "AWS::Lambda::Function"
        )
        self._alias_ids = {
            resource["Properties"]["Name"]: logical_id
            for logical_id, resource in resources.items()
            if resource["Type"] == "AWS::Lambda::Alias"
        }
        self._versions_before = self.versions()

    def versions(self) -> dict[str, str]:
        """The hash of the code of each published version, by its number."""
        pages = self._lambda.get_paginator("list_versions_by_function").paginate(
            FunctionName=self.aliases.function
        )
        found = {one["Version"]: one["CodeSha256"] for page in pages for one in page["Versions"]}
        return {number: code for number, code in found.items() if number != "$LATEST"}

    def new_tariff(self, name: str, cents_per_kg: int, **prod: Any) -> str:
        """Deploy code with another tariff, and return the number of its version."""
        template = self._updates.template()
        tariff = {"name": name, "base_cents": 390, "cents_per_kg": cents_per_kg}
        self._updates.changed_code(template, self._function_id, {"tariff.json": json.dumps(tariff)})
        self._alias(template, "prod").update(prod)
        self._updates.update(template)
        return max(self.versions(), key=int)

    def point(self, name: str, version: str, weights: Mapping[str, str] | None = None) -> None:
        """Deploy with another value for one alias.

        Raises:
            UpdateRefused: CloudFormation rolled it back.
        """
        template = self._updates.template()
        properties = self._alias(template, name)
        properties["FunctionVersion"] = version
        properties.pop("RoutingConfig", None)
        if weights:
            properties["RoutingConfig"] = {
                "AdditionalVersionWeights": [
                    {"FunctionVersion": other, "FunctionWeight": float(weight)}
                    for other, weight in weights.items()
                ]
            }
        self._updates.update(template)

    def _alias(self, template: Template, name: str) -> dict[str, Any]:
        properties: dict[str, Any] = template["Resources"][self._alias_ids[name]]["Properties"]
        return properties

    def close(self) -> None:
        """Deploy what was deployed first, and delete the versions that no alias needs any more."""
        if self._updates.template() != self._original:
            self._updates.update(self._original)
        needed = {target.version for target in self.aliases.targets().values()}
        for number in self.versions().keys() - self._versions_before.keys() - needed:
            self._lambda.delete_function(FunctionName=self.aliases.function, Qualifier=number)


@contextmanager
def _deployments(stack: DeployedStack) -> Iterator[Deployments]:
    deployments = Deployments(stack)
    try:
        yield deployments
    finally:
        deployments.close()


def _publish_summer(deployments: Deployments, story: Story) -> str:
    """Deploy changed code twice: dev follows, the others stay, and no version changes."""
    aliases, before = deployments.aliases, deployments.aliases.targets()
    first, versions = aliases.quote("prod"), deployments.versions()
    for name, cents in (("summer, first try", 90), ("summer", 100)):
        newest = deployments.new_tariff(name, cents)
        quote = aliases.quote("dev")
        require(quote["version"] == newest, f"dev ran {quote['version']}, and {newest} is the newest version")
        require(quote["tariff"] == name, f"dev answers by the tariff {quote['tariff']!r}")
    now = deployments.versions()
    require(versions.items() <= now.items(), f"published versions changed: {versions} became {now}")
    for name in ("test", "prod"):
        require(aliases.target(name) == before[name], f"{name} moved by itself: {aliases.target(name)}")
    require(aliases.quote("prod") == first, "prod answers something else than before")
    story.say(f"Changed the tariff and deployed, twice: dev follows to version {newest}, test and prod stay.")
    deployments.point("test", newest)
    require(aliases.quote("test")["tariff"] == "summer", "test was promoted and has the old tariff")
    story.say(f"test={newest}: the same version, not built again, answers there; its ARN is the same.")
    return newest


def _canary(deployments: Deployments, summer: str, calls: int, story: Story) -> None:
    """A tenth of the callers: as exactly as chance allows."""
    main = deployments.aliases.target("prod").version
    deployments.point("prod", main, {summer: _WEIGHT})
    with story.timed(f"{calls} calls of a weighted alias"):
        seen = deployments.aliases.versions_seen("prod", calls)
    low, high = bounds(calls, _WEIGHT)
    require(
        low <= seen[summer] <= high and seen[main] == calls - seen[summer],
        f"of {calls} calls {dict(seen)} went to versions {main} and {summer}; with {_WEIGHT} for {summer} it "
        f"is {low} to {high} but once in a million runs",
    )
    story.say(
        f"prod={main},{summer}:{_WEIGHT}: of {calls:,} callers {seen[summer]} got the new tariff "
        f"({low} to {high} is what chance allows, but once in a million runs)."
    )


def _refuse_wrong_values(deployments: Deployments, story: Story) -> None:
    """What Lambda refuses changes nothing, and the next deployment of the same code goes through."""
    aliases, before, versions = deployments.aliases, deployments.aliases.targets(), deployments.versions()
    main, newest = before["prod"].version, max(versions, key=int)
    beyond = str(int(newest) + 100)
    for what, version, weights in (
        ("a version that is not there", beyond, {}),
        ("a weight for a version that is not there", main, {beyond: _WEIGHT}),
        ("an alias of an alias", "test", {}),
        ("$LATEST with a weight", "$LATEST", {newest: _WEIGHT}),
    ):
        reason = _refused(lambda v=version, w=weights: deployments.point("prod", v, w), what)
        require(aliases.targets() == before, f"{what} changed something: {aliases.targets()}")
        story.say(f"prod={', '.join([version, *weights])} ({what}): rolled back, {reason}")
    _refused(lambda: deployments.new_tariff("autumn", 110, FunctionVersion=beyond), "new code with a slip")
    require(aliases.targets() == before, f"a failed deployment changed something: {aliases.targets()}")
    require(deployments.versions() == versions, "a failed deployment left a version behind")
    autumn = deployments.new_tariff("autumn", 110)
    require(aliases.quote("dev")["tariff"] == "autumn", "dev did not follow after a failed deployment")
    story.say(f"New code with prod={beyond}: all of it rolled back. Without the slip: version {autumn}.")


def _refused(attempt: Any, what: str) -> str:
    """The reason for which a deployment was rolled back, as Lambda gave it."""
    try:
        attempt()
    except UpdateRefused as refused:
        said = _LAMBDA_SAID.search(str(refused))
        require(said is not None, f"{what} was rolled back for another reason: {refused}")
        assert said is not None
        return _ARN.sub(r"…:\1", said["reason"])
    raise ScenarioFailed(f"{what} was deployed")
