"""Why a request was denied, in full: the statements that were looked at, and the grant that is missing.

`LocalAws.explain()` returns these. `services.iam.denials` makes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from localaws.journal import Denied

_SHOWN = 12  # of the actions or resources of a statement: policies of AWS have thousands

Element = Literal["Principal", "Action", "Resource", "Condition"]
Layer = Literal[
    "identity policy",
    "permissions boundary",
    "session policy",
    "resource policy",
    "key policy",
    "trust policy",
]


@dataclass(frozen=True)
class Mismatch:
    """An element of a statement that does not match the request.

    Attributes:
        element: The element.
        expected: What the statement has; starts with `not ` for NotAction, NotResource and NotPrincipal.
        given: What the request has; empty for a condition key that it does not have.
        key: The operator and key of a condition, such as `StringEquals aws:SourceAccount`.
    """

    element: Element
    expected: tuple[str, ...]
    given: str
    key: str = ""

    def __str__(self) -> str:
        """What does not match, for a person."""
        shown, more = self.expected[:_SHOWN], len(self.expected) - _SHOWN
        expected = ", ".join(shown) + (f" and {more} others" if more > 0 else "") or "nothing"
        if self.element != "Condition":
            return f"{self.element} is {expected}"
        given = f"{self.given!r}" if self.given else "absent"
        return f"Condition {self.key} is {expected}, in the request it is {given}"


@dataclass(frozen=True)
class Statement:
    """A statement that was looked at.

    Attributes:
        policy: The policy that has it.
        layer: What kind of policy that is.
        number: Its place in the policy, from 1 on.
        sid: Its id, if it has one.
        effect: `Allow` or `Deny`.
        mismatches: The elements that do not match the request. If there are none, it applies.
    """

    policy: str
    layer: Layer
    number: int
    sid: str
    effect: str
    mismatches: tuple[Mismatch, ...]

    @property
    def applies(self) -> bool:
        """Whether it matches the request."""
        return not self.mismatches

    @property
    def is_unmet(self) -> bool:
        """Whether it would allow the request if its conditions were met."""
        return (
            self.effect == "Allow"
            and bool(self.mismatches)
            and all(one.element == "Condition" for one in self.mismatches)
        )

    @property
    def name(self) -> str:
        """Which statement of which policy it is."""
        return f"{self.policy}, statement {self.sid or self.number}"

    def __str__(self) -> str:
        """A line for a person."""
        does = "; ".join(map(str, self.mismatches)) or "applies"
        return f"{self.name} ({self.effect}): {does}"


@dataclass(frozen=True)
class Grant:
    """A statement that is missing.

    Attributes:
        layer: The kind of policy that lacks it.
        actions: The actions.
        resources: The ARNs. An object of S3 stands for its folder if it has one, a version of a function for
            all of them, a log stream for its log group.
        code: The statement in Python for the CDK.
        usual: The CDK's method that allows this action together with others; empty if there is none.
    """

    layer: Layer
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    code: str
    usual: str = ""


@dataclass(frozen=True)
class Explanation(Denied):
    """A denial, with the statements that were looked at and the grant that is missing.

    Attributes:
        conditions: The condition keys that these statements name, with their values in the request.
        statements: All statements of the policies that decide.
        grants: What would allow the request: one statement, or one in each policy that must allow it (both
            accounts, or the permissions boundary as well). There is none for a policy that allows the request
            under conditions (see `unmet`), and none at all if a statement denies it.
    """

    conditions: Mapping[str, str] = field(default_factory=dict)
    statements: tuple[Statement, ...] = ()
    grants: tuple[Grant, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Explanation:
        """The explanation that `dataclasses.asdict` and JSON have made plain."""
        statements = [
            {**one, "mismatches": tuple(Mismatch(**_tuples(each)) for each in one["mismatches"])}
            for one in given["statements"]
        ]
        return cls(
            **{
                **given,
                "statements": tuple(Statement(**one) for one in statements),
                "grants": tuple(Grant(**_tuples(one)) for one in given["grants"]),
            }
        )

    @property
    def denied_by(self) -> tuple[Statement, ...]:
        """The statements that deny the request explicitly."""
        return tuple(one for one in self.statements if one.effect == "Deny" and one.applies)

    @property
    def unmet(self) -> tuple[Statement, ...]:
        """The statements that would allow the request if it met their conditions."""
        policies = {one.policy for one in self.statements if one.effect == "Allow" and one.applies}
        return tuple(one for one in self.statements if one.is_unmet and one.policy not in policies)

    @property
    def remedy(self) -> str:
        """What would allow the request, in lines."""
        if self.denied_by:
            names = "; ".join(one.name for one in self.denied_by)
            return f"no grant allows it, as an explicit Deny decides: {names}"
        granted = {grant.layer for grant in self.grants}
        texts = [
            f"send what the {one.name} asks for, or change its conditions:\n{_lines(one.mismatches)}"
            for one in self.unmet
            if one.layer not in granted
        ]
        for grant in self.grants:
            texts.append(f"missing in the {grant.layer}:\n{_indented(grant.code)}")
            if grant.usual:
                texts.append(f"or, with more than is missing: {grant.usual}")
        return "\n".join(texts)

    def __str__(self) -> str:
        """The whole for a person, in lines."""
        lines = [f"in the request, {key} is {value!r}" for key, value in self.conditions.items()]
        near = [one for one in self.statements if not one.mismatches or _is_near(one, self.action)]
        lines += [f"looked at {one}" for one in near]
        if others := len(self.statements) - len(near):
            lines.append(f"looked at {others} statement{'s' * (others > 1)} about other services")
        return f"{super().__str__()}\n" + _indented("\n".join([*lines, self.remedy]))


def summary(explained: Iterable[Explanation]) -> str:
    """What was denied, in lines, and once for all that it would allow, the remedy."""
    denied: dict[str, list[str]] = {}
    for one in explained:
        denied.setdefault(one.remedy, []).append(Denied.__str__(one))
    return "\n".join("\n".join([*said, _indented(remedy)]) for remedy, said in denied.items())


def pattern(arn: str) -> str:
    """The resource of a statement for a request: what there are many of is not named one by one."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return arn
    service, name = parts[2], parts[5]
    if service == "s3" and not name.startswith("accesspoint/") and "/" in name:
        bucket, key = name.split("/", 1)
        literal = re.sub(r"[$*?]", r"${\g<0>}", key)  # characters that a policy gives a meaning
        folder = literal.rpartition("/")[0]
        name = f"{bucket}/{folder}/*" if folder else f"{bucket}/{literal}"  # the objects of the folder
    elif service == "lambda":
        name = re.sub(r"^(function:[^:]+):\d+$", r"\1:*", name)  # the versions
    elif service == "logs":
        name = re.sub(r":log-stream:.*$", ":*", name)  # the streams of the group
    return ":".join([*parts[:5], name])


def _is_near(statement: Statement, action: str) -> bool:
    """Whether a statement is about the service of the action, or all services."""
    service = action.partition(":")[0]
    wrong = [one.expected for one in statement.mismatches if one.element == "Action"]
    return all(any(service in name for name in expected) for expected in wrong)


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _lines(mismatches: tuple[Mismatch, ...]) -> str:
    return _indented("\n".join(map(str, mismatches)))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
