"""Sampling rules: which requests are traced.

Faithful to: create, update, delete and list, with the rule `Default`, 25 rules of your own at most; the first
rule that matches, in the order of priorities, decides, with `*` and `?` and without regard to case; the
reservoir of each second first, then the fixed rate; GetSamplingTargets, for services that decide themselves.
A decision that came with the request stays as it is.
Not to: how services share a reservoir: all of it is given to each; SamplingRateBoost, which is recorded only;
which characters a name may have; the words of refusals.

https://docs.aws.amazon.com/xray/latest/devguide/xray-console-sampling.html
https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sampling.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-configuring-xray-sampling-rules.html
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from localaws.patching import on_reset

Values = dict[str, Any]

_MOST_RULES = 25
_SECONDS = 10  # how long a target is valid
_DEFAULT: Values = {
    "RuleName": "Default",
    "ResourceARN": "*",
    "Priority": 10_000,
    "FixedRate": 0.05,
    "ReservoirSize": 1,
    "ServiceName": "*",
    "ServiceType": "*",
    "Host": "*",
    "HTTPMethod": "*",
    "URLPath": "*",
    "Version": 1,
    "Attributes": {},
}
_FIXED = ("RuleName", "RuleARN", "Version")
_FIXED_OF_DEFAULT = ("FixedRate", "ReservoirSize")


class RefusedError(Exception):
    """A request that X-Ray refuses, with its code."""

    def __init__(self, message: str, code: str = "InvalidRequestException") -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Rule:
    """A sampling rule, and what it has used of its reservoir.

    Attributes:
        values: The rule, in the form of the API.
        created, modified: When.
        second: The last second in which a request was sampled.
        used: How many of the reservoir were, in that second.
    """

    values: Values
    created: float = field(default_factory=time.time)
    modified: float = field(default_factory=time.time)
    second: int = 0
    used: int = 0

    def record(self) -> Values:
        """What the API says of it."""
        return {"SamplingRule": self.values, "CreatedAt": self.created, "ModifiedAt": self.modified}

    def samples(self, now: float, draw: Callable[[], float]) -> bool:
        """Decide about a request that matches.

        Args:
            now: The time, in seconds.
            draw: Returns a number from 0 to less than 1.
        """
        if self.second != int(now):
            self.second, self.used = int(now), 0
        if self.used < self.values["ReservoirSize"]:
            self.used += 1
            return True
        return draw() < float(self.values["FixedRate"])


@dataclass(frozen=True)
class Request:
    """What rules know of a request."""

    service: str
    type: str
    resource: str
    host: str
    method: str
    path: str
    headers: Mapping[str, str]


_rules: Any = AccountRegionScopedDict()  # by name
on_reset(_rules.clear)


def _default() -> Rule:
    if "Default" not in _rules:
        _rules["Default"] = Rule({**_DEFAULT, "RuleARN": _arn("Default")}, created=0.0, modified=0.0)
    found: Rule = _rules["Default"]
    return found


def _arn(name: str) -> str:
    return f"arn:aws:xray:{get_region()}:{get_account_id()}:sampling-rule/{name}"


def rules() -> list[Rule]:
    """All rules, in the order in which they are tried."""
    _default()
    return sorted(_rules.values(), key=lambda rule: (rule.values["Priority"], rule.values["RuleName"]))


def create(given: Values) -> Rule:
    """Create a rule.

    Raises:
        RefusedError: The name is taken, something is missing, or there are too many.
    """
    name = given.get("RuleName")
    missing = [one for one in _DEFAULT if one not in (*given, "Attributes") and one != "RuleName"]
    if not name or missing:
        raise RefusedError(f"SamplingRule needs {', '.join(missing or ['RuleName'])}")
    if name == "Default" or name in _rules:
        raise RefusedError(f"A sampling rule with the name {name} exists already")
    if len([one for one in _rules if one != "Default"]) >= _MOST_RULES:
        raise RefusedError(f"There may be {_MOST_RULES} sampling rules", "RuleLimitExceededException")
    if given["Version"] != 1:
        raise RefusedError("Version must be 1")
    _check_rate(given)
    _rules[name] = Rule({"Attributes": {}, **given, "RuleARN": _arn(name)})
    made: Rule = _rules[name]
    return made


def _check_rate(given: Values) -> None:
    if not 0 <= float(given.get("FixedRate", 0)) <= 1:
        raise RefusedError(f"FixedRate is {given['FixedRate']}; it must be from 0 to 1")


def find(given: Mapping[str, Any]) -> Rule:
    """The rule with a name or an ARN, exactly one of which is given.

    Raises:
        RefusedError: There is none.
    """
    name, arn = given.get("RuleName"), given.get("RuleARN")
    if bool(name) == bool(arn):
        raise RefusedError("Specify either RuleName or RuleARN")
    _default()
    name = name or str(arn).rpartition("/")[2]
    if name not in _rules or (arn and _arn(name) != arn):
        raise RefusedError(f"There is no sampling rule {name}")
    found: Rule = _rules[name]
    return found


def update(given: Values) -> Rule:
    """Change what is given of a rule; of the default rule, only its rate and its reservoir.

    Raises:
        RefusedError: There is no such rule, or it cannot be changed so.
    """
    rule = find(given)
    changed = {name: value for name, value in given.items() if name not in _FIXED}
    if rule is _default() and (other := sorted({*changed} - {*_FIXED_OF_DEFAULT})):
        raise RefusedError(f"{', '.join(other)} of the default rule cannot be changed")
    _check_rate(changed)
    rule.values = {**rule.values, **changed}
    rule.modified = time.time()
    return rule


def delete(given: Mapping[str, Any]) -> Rule:
    """Delete a rule.

    Raises:
        RefusedError: There is no such rule, or it is the default one.
    """
    rule = find(given)
    if rule is _default():
        raise RefusedError("The default rule cannot be deleted")
    del _rules[rule.values["RuleName"]]
    return rule


def targets(documents: list[Values]) -> Values:
    """What a service that decides itself may sample of each rule."""
    known = {rule.values["RuleName"]: rule for rule in rules()}
    found, unknown = [], []
    for document in documents:
        name = document.get("RuleName", "")
        if name in known:
            values = known[name].values
            target = {
                "RuleName": name,
                "FixedRate": values["FixedRate"],
                "ReservoirQuota": values["ReservoirSize"],
                "ReservoirQuotaTTL": time.time() + _SECONDS,
                "Interval": _SECONDS,
            }
            found.append(target)
        else:
            said = {"RuleName": name, "ErrorCode": "400", "Message": "There is no such rule"}
            unknown.append(said)
    return {
        "SamplingTargetDocuments": found,
        "LastRuleModification": max(rule.modified for rule in known.values()),
        "UnprocessedStatistics": unknown,
    }


def decide(request: Request) -> bool:
    """Whether a request that came without a decision is sampled."""
    rule = next((one for one in rules() if matches(one.values, request)), _default())
    return rule.samples(time.time(), random.random)


def matches(rule: Values, request: Request) -> bool:
    """Whether a rule is about a request."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return all(
        _fits(pattern, value)
        for pattern, value in (
            (rule["ServiceName"], request.service),
            (rule["ServiceType"], request.type),
            (rule["ResourceARN"], request.resource),
            (rule["Host"], request.host),
            (rule["HTTPMethod"], request.method),
            (rule["URLPath"], request.path),
            *((value, headers.get(name.lower(), "")) for name, value in rule["Attributes"].items()),
        )
    )


def _fits(pattern: str, value: str) -> bool:
    parts = (".*" if letter == "*" else "." if letter == "?" else re.escape(letter) for letter in pattern)
    return re.fullmatch("".join(parts), value, re.IGNORECASE | re.DOTALL) is not None
