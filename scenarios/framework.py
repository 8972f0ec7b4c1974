"""The parts of every scenario: the deployed stack, waiting with a deadline, and the outcome.

A scenario knows a stack by its outputs and uses boto3, so the same code drives the embedded AWS and a stack
in a real account.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.exceptions import ClientError

T = TypeVar("T")
#: Seconds: Lambda retries after one minute and after two more.
_RETRIES_TAKE = 200


class ScenarioFailed(Exception):
    """The architecture did not do what it should; the message says what was expected and what was seen."""


class NotYet(Exception):
    """Raised by a check that has to be repeated; its text says what was seen so far."""


class StackNotFound(LookupError):
    """The stack does not exist in the session's account and region."""


def _say_nothing(_: str) -> None:
    """Ignore a line: the default listener."""


@dataclass(frozen=True)
class DeployedStack:
    """A deployed stack, as a scenario sees it.

    Args:
        name: Name of the CloudFormation stack.
        outputs: Its outputs, by their key in the template.
        session: The boto3 session that reaches the account it is in.
        out: Folder for files that a person may want to look at afterwards.
        tell: Called with each line of the story as it happens.
        patience: Seconds to wait for the effect of an event. The default leaves room for S3, whose events
            mostly arrive within seconds but may take a minute.
        deliver_as: `LocalAws.deliver_as`, for services that the embedded AWS does not have. ``None`` in a
            real account, where only the service itself can send its events.
        faults: `LocalAws.faults`: calls and functions that fail when asked to. ``None`` in a real account.
        with_broker: `LocalAws.with_broker`: a real broker for one of Amazon MQ. ``None`` in a real account.
        with_viewers: `LocalAws.with_viewers`: where viewers of distributions are. ``None`` in a real account.
        paced: `LocalAws.paced`: how long documented minutes take. ``None`` in a real account.
        instances_answer: `LocalAws.instances_answer`: what listens on EC2 instances. ``None`` in a real
            account, where they run.
    """

    name: str
    outputs: Mapping[str, str]
    session: boto3.Session
    out: Path = Path("out")
    tell: Callable[[str], None] = _say_nothing
    patience: float = 90
    deliver_as: Callable[..., Any] | None = None
    faults: Any = None
    with_broker: Callable[[str, str], AbstractContextManager[None]] | None = None
    with_viewers: Callable[[Mapping[str, str]], AbstractContextManager[None]] | None = None
    paced: Callable[[float], AbstractContextManager[None]] | None = None
    instances_answer: Callable[[str, str], AbstractContextManager[None]] | None = None
    _clients: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def embedded(cls, name: str, outputs: Mapping[str, str], aws: Any, **options: Any) -> DeployedStack:
        """The stack on an embedded AWS, with all that a real account does not have.

        Args:
            name: Name of the CloudFormation stack.
            outputs: Its outputs.
            aws: The `LocalAws` that it is deployed on.
            **options: Further arguments of `DeployedStack`.
        """
        only_here = (
            *("deliver_as", "faults", "paced"),
            *("with_broker", "with_viewers", "instances_answer"),
        )
        return cls(name, outputs, aws.session, **{one: getattr(aws, one) for one in only_here}, **options)

    @classmethod
    def find(cls, name: str, session: boto3.Session, **options: Any) -> DeployedStack:
        """Find a stack with CloudFormation's DescribeStacks.

        Args:
            name: Name of the stack.
            session: Where to look.
            **options: The other fields of a `DeployedStack`.

        Raises:
            StackNotFound: The stack does not exist, or is not deployed completely.
        """
        try:
            stack = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise StackNotFound(f"stack {name}: not found in region {session.region_name}") from error
        status = stack["StackStatus"]
        if not status.endswith("_COMPLETE") or status.startswith(("DELETE", "ROLLBACK")):
            raise StackNotFound(f"stack {name}: it is in state {status}; it must be deployed completely")
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        return cls(name, outputs, session, **options)

    def client(self, service: str) -> Any:
        """Return a boto3 client, made once per service."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service)
        return self._clients[service]

    def output(self, key: str) -> str:
        """Return an output of the stack; the error for an unknown one lists those that exist."""
        if key not in self.outputs:
            there = ", ".join(sorted(self.outputs)) or "none"
            raise ScenarioFailed(f"stack {self.name} has no output {key}; its outputs: {there}")
        return self.outputs[key]

    @property
    def patient(self) -> DeployedStack:
        """The same stack for effects of an asynchronous invocation that Lambda may have to retry."""
        return replace(self, patience=self.patience + _RETRIES_TAKE)

    def wait_until(self, check: Callable[[], T], what: str) -> T:
        """`wait_until` with this stack's patience."""
        return wait_until(check, what=what, timeout=self.patience)


# Pauses between two checks, in seconds: short at first, then longer.
_FIRST_PAUSE, _GROWTH, _LONGEST_PAUSE = 0.05, 1.2, 1.0


_hopeless: ContextVar[Callable[[], str | None] | None] = ContextVar("_hopeless", default=None)


@contextmanager
def giving_up_when(hopeless: Callable[[], str | None]) -> Iterator[None]:
    """End each `wait_until` in the body as soon as waiting longer is known to be useless.

    Args:
        hopeless: Returns why it is useless, or None. Called after each unsuccessful check.
    """
    token = _hopeless.set(hopeless)
    try:
        yield
    finally:
        _hopeless.reset(token)


def wait_until(check: Callable[[], T], *, what: str, timeout: float) -> T:
    """Call `check` until it returns, and return what it returned.

    Args:
        check: Raises `NotYet`, with what it saw, to be called again.
        what: What is waited for.
        timeout: Seconds after which waiting ends.

    Raises:
        ScenarioFailed: The deadline passed; the message says what was last seen.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        try:
            return check()
        except NotYet as seen:
            if time.monotonic() >= deadline:
                raise ScenarioFailed(f"{what}: not within {timeout:g} s; last seen: {seen}") from None
            if (hopeless := _hopeless.get()) and (reason := hopeless()):
                raise ScenarioFailed(f"{what}: {reason}; last seen: {seen}") from None
        time.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def require(condition: bool, otherwise: str) -> None:
    """Fail the scenario with this sentence unless the condition holds."""
    if not condition:
        raise ScenarioFailed(otherwise)


@dataclass(frozen=True)
class Outcome:
    """What a scenario returns.

    Args:
        title: What was shown, in a few words.
        story: What happened, in sentences for a person. No test asserts on them.
        facts: What was counted and seen, by name: what tests assert on (``{"thumbnails": 24}``).
        files: What a person may want to look at.
        timings: Seconds by the name of a step.
    """

    title: str
    story: Sequence[str]
    facts: Mapping[str, int | str] = field(default_factory=dict)
    files: Sequence[Path] = ()
    timings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Covered:
    """A role whose every grant a scenario uses, so that it fails when any one of them is taken away.

    A scenario module lists those of its stack in ``ROLES``.

    Args:
        role_of: The output that names what has the role: a function, a proxy, a schedule, a deployment group.
            Or the output with the ARN of a role that a caller assumes.
        scenario: Uses each permission of the role at least once.
        function: The output that names the function whose log shows a denial. Default: ``role_of``.
        new_instances: Whether the function needs a new execution environment for each attempt, because it
            uses the permission only when it starts.
        only_for_failures: Actions that the scenario does not use, because only a failure does; a test of the
            architecture covers them.
        patience: Seconds that the scenario waits for an effect that does not come and whose denial no log
            shows.
        takes_long: Whether the check belongs to the longer proofs (`run.py test --full`).
    """

    role_of: str
    scenario: Callable[[DeployedStack], None]
    function: str | None = None
    new_instances: bool = False
    only_for_failures: frozenset[str] = frozenset()
    patience: float = 40
    takes_long: bool = False


@dataclass(frozen=True)
class BilledEvent:
    """One typical event of an architecture, of which the embedded AWS measures what AWS would bill.

    A scenario module has it as ``EVENT``. What the sender calls in order to send it counts, too; what it
    calls in order to see its effect does not.

    Args:
        what: What it is, in a few words, for the page.
        send: Sends it and returns when it has had its effect.
        also: Amounts by unit that AWS bills for it and that the embedded AWS cannot count.
        without: What runs on a schedule, and is therefore not part of it: a part of the names of its
            function and role.
        preparing: What the sender calls in order to send it does not count, as it is for many events.
    """

    what: str
    send: Callable[[DeployedStack], object]
    also: Mapping[str, float] = field(default_factory=dict)
    without: str = ""
    preparing: bool = False


class Story:
    """Collects the lines and facts of an outcome, and reports each line as it happens.

    Example:
        >>> story = Story("A thumbnail is made", print)
        >>> story.say("cat.jpg was sent")
        cat.jpg was sent
        >>> story.fact("thumbnails", 3)
        >>> story.outcome().facts
        {'thumbnails': 3}
    """

    def __init__(self, title: str, tell: Callable[[str], None] = _say_nothing) -> None:
        self._title = title
        self._tell = tell
        self._lines: list[str] = []
        self._facts: dict[str, int | str] = {}
        self._timings: dict[str, float] = {}

    def say(self, line: str) -> None:
        """Add a line and report it."""
        self._lines.append(line)
        self._tell(line)

    def fact(self, name: str, value: int | str) -> None:
        """Record a fact that tests assert on."""
        self._facts[name] = value

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Record how many seconds the body took, under this name."""
        start = time.monotonic()
        yield
        self._timings[step] = time.monotonic() - start

    def outcome(self, files: Sequence[Path] = ()) -> Outcome:
        """Return the outcome so far."""
        return Outcome(self._title, tuple(self._lines), dict(self._facts), tuple(files), dict(self._timings))
