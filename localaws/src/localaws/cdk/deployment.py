"""What a test knows of deployed stacks: outputs, resources, functions and their logs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import boto3

T = TypeVar("T")

_NOTHING: Any = object()
_FUNCTION = "AWS::Lambda::Function"
_COLONS_WITH_QUALIFIER = 7

# What the CDK appends to the logical id of a construct.
_HASH = re.compile(r"[0-9A-F]{8}$")
# Pauses between two checks, in seconds: short at first, then longer.
_FIRST_PAUSE, _GROWTH, _LONGEST_PAUSE = 0.05, 1.2, 1.0


class FunctionFailed(AssertionError):
    """A function that was invoked ended with an error.

    Attributes:
        function: Its name.
        error: What Lambda answered: `errorType`, `errorMessage`, `stackTrace`.
        log: The lines of its log so far.
    """

    def __init__(self, function: str, error: Any, log: list[str]) -> None:
        self.function, self.error, self.log = function, error, log
        lines = "".join(f"\n  {line}" for line in log[-30:])
        super().__init__(f"{function} failed: {json.dumps(error)}\nThe end of its log:{lines}")


@dataclass(frozen=True)
class Resource:
    """A resource of a deployed stack.

    Attributes:
        stack: The name of its stack; for a resource of a nested stack, that of the outermost one.
        logical_id: Its id in the template.
        type: Its CloudFormation type.
        physical_id: Its name, ARN or URL, as CloudFormation knows it.
    """

    stack: str
    logical_id: str
    type: str
    physical_id: str


class Deployment:
    """Stacks that are deployed on the embedded AWS.

    Attributes:
        stacks: The outputs of each stack, by its name.
    """

    def __init__(
        self,
        stacks: Mapping[str, Mapping[str, str]],
        *,
        sessions: Mapping[str, boto3.Session],
        destroy: Callable[[], object],
    ) -> None:
        self.stacks = stacks
        self._sessions = sessions
        self._destroy = destroy
        self._clients: dict[tuple[boto3.Session, str], Any] = {}

    @property
    def outputs(self) -> Outputs:
        """The outputs of all stacks. Of two with one name, take them from `stacks`."""
        return Outputs(self.stacks)

    def client(self, service: str, stack: str | None = None) -> Any:
        """Return a boto3 client with administrator credentials; the same one for each call.

        Args:
            service: The service, by boto3's name.
            stack: A stack, for a client in its account and region. By default those of the first stack.

        Raises:
            LookupError: There is no such stack; the message lists those that there are.
        """
        if stack is not None and stack not in self._sessions:
            raise LookupError(f"no stack {stack!r} was deployed; there are: {', '.join(self._sessions)}")
        session = self._sessions[stack or next(iter(self.stacks))]
        if (session, service) not in self._clients:
            self._clients[session, service] = session.client(service)
        return self._clients[session, service]

    def resources(self, type: str | None = None) -> list[Resource]:
        """Return the resources of the stacks and of their nested stacks.

        Args:
            type: Only those of this CloudFormation type.
        """
        found = [one for stack in self.stacks for one in self._resources_of(stack)]
        return [one for one in found if type in (None, one.type)]

    def _resources_of(self, stack: str, nested: str = "") -> Iterator[Resource]:
        pages = self.client("cloudformation", stack).get_paginator("list_stack_resources")
        for page in pages.paginate(StackName=nested or stack):
            for one in page["StackResourceSummaries"]:
                physical_id = one.get("PhysicalResourceId", "")
                yield Resource(stack, one["LogicalResourceId"], one["ResourceType"], physical_id)
                if one["ResourceType"] == "AWS::CloudFormation::Stack" and physical_id:
                    yield from self._resources_of(stack, physical_id)

    def resource(self, id: str, type: str | None = None) -> Resource:
        """Return a resource by its logical id, with or without the hash that the CDK appends.

        Args:
            id: `"Orders"` or `"OrdersB8F4D2A1"`; for a construct in others their ids in one word,
                `"WorkerDeadLetters"`.
            type: Its CloudFormation type, if several resources have this id.

        Raises:
            LookupError: There is none, or more than one; the message lists the candidates.
        """
        there = self.resources(type)
        exact = [one for one in there if id in (one.logical_id, one.physical_id)]
        found = exact or [one for one in there if _HASH.sub("", one.logical_id) == id]
        if len(found) == 1:
            return found[0]
        listed = "".join(f"\n  {one.logical_id}: {one.type}, {one.physical_id}" for one in found or there)
        problem = "several resources have" if found else "no resource has"
        raise LookupError(
            f"{problem} the id {id!r} in {', '.join(self.stacks)}; there are:{listed or ' none'}"
        )

    def function(self, function: str) -> Resource:
        """Return a function; its name is the `physical_id`.

        Args:
            function: Its name or ARN, its logical id with or without the CDK's hash, or an output that has
                one of them.

        Raises:
            LookupError: The stacks have no such function; the message lists those that they have.
        """
        given = self.outputs.get(function, function)
        return self.resource(given.split(":")[6] if given.startswith("arn:") else given, _FUNCTION)

    def invoke(
        self, function: str, payload: Any = _NOTHING, *, invocation_type: str = "RequestResponse"
    ) -> Any:
        """Invoke a function, and return what it returned.

        Args:
            function: As in `function`. With an ARN that has a qualifier, that version or alias is invoked.
            payload: The event. By default none is sent; the function gets `{}`, as from AWS.
            invocation_type: `Event` invokes it asynchronously; the answer is None.

        Raises:
            FunctionFailed: It ended with an error.
        """
        given, found = self.outputs.get(function, function), self.function(function)
        qualified = given.startswith("arn:") and given.count(":") == _COLONS_WITH_QUALIFIER
        response = self.client("lambda", found.stack).invoke(
            FunctionName=given if qualified else found.physical_id,
            InvocationType=invocation_type,
            **({} if payload is _NOTHING else {"Payload": json.dumps(payload).encode()}),
        )
        text = response["Payload"].read()
        answer = json.loads(text) if text else None
        if "FunctionError" in response:
            raise FunctionFailed(found.physical_id, answer, self.logs(function))
        return answer

    def logs(self, function: str) -> list[str]:
        """Return the lines in the log of a function, oldest first.

        Args:
            function: As in `function`.
        """
        found = self.function(function)
        lambda_, logs = (self.client(service, found.stack) for service in ("lambda", "logs"))
        return log_lines(lambda_, logs, found.physical_id)

    def destroy(self) -> None:
        """Delete the stacks by `cdk destroy`. A test need not: the account is emptied before the next module.

        Raises:
            CdkError: A stack could not be deleted.
        """
        self._destroy()

    def wait_until(self, check: Callable[[], T], what: str = "", *, timeout: float = 30) -> T:
        """`wait_until` of this module, for tests that have a deployment at hand."""
        return wait_until(check, what, timeout=timeout)


class Outputs(Mapping[str, str]):
    """The outputs of several stacks, in one mapping."""

    def __init__(self, stacks: Mapping[str, Mapping[str, str]]) -> None:
        self._stacks = stacks

    def __getitem__(self, key: str) -> str:
        found = {stack: outputs[key] for stack, outputs in self._stacks.items() if key in outputs}
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise LookupError(f"output {key}: {', '.join(found)} have it; take it from stacks[NAME][{key!r}]")
        raise KeyError(f"{key}: there is no such output; there are: {', '.join(sorted(self)) or 'none'}")

    def __contains__(self, key: object) -> bool:
        return any(key in outputs for outputs in self._stacks.values())

    def __iter__(self) -> Iterator[str]:
        return iter({key: None for outputs in self._stacks.values() for key in outputs})

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return repr({stack: dict(outputs) for stack, outputs in self._stacks.items()})


def log_lines(functions: Any, logs: Any, name: str) -> list[str]:
    """Return the lines in the log of a function, oldest first.

    Args:
        functions: A client for Lambda.
        logs: A client for CloudWatch Logs.
        name: The name of the function.
    """
    configuration = functions.get_function_configuration(FunctionName=name)
    group = configuration.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{name}")
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    try:
        return [event["message"].rstrip("\n") for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:  # it has not been invoked yet
        return []


def wait_until(check: Callable[[], T], what: str = "", *, timeout: float = 30) -> T:
    """Call `check` until it returns something true, and return that.

    An AssertionError, a LookupError (`response["Item"]`) and an error of AWS that says that something is not
    there mean "not yet".

    Args:
        check: What is waited for.
        what: What it is called in the message.
        timeout: Seconds after which waiting ends.

    Raises:
        TimeoutError: The deadline passed; its cause is the last error.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        last: Exception | None = None
        seen: object = None
        try:
            seen = check()
        except (AssertionError, LookupError) as error:
            last = error
        except Exception as error:
            if not _is_absence(error):
                raise
            last = error
        if seen:
            return seen  # type: ignore[return-value]
        if time.monotonic() >= deadline:
            name = what or getattr(check, "__name__", repr(check))
            found = f"{type(last).__name__}: {last}" if last else f"{seen!r}"
            raise TimeoutError(f"{name}: not within {timeout:g} s; last seen: {found}") from last
        time.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def _is_absence(error: Exception) -> bool:
    """Whether AWS answered that something does not exist."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return False
    code = str(response.get("Error", {}).get("Code", ""))
    return code == "404" or "NotFound" in code or code.startswith("NoSuch") or "NonExistent" in code
