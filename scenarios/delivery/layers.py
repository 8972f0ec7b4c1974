"""Sends words to two functions with the same layers, compares the answers, and breaks runtime and layers."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.faults import Faults
from scenarios.support.other_account import administrator_of, make_member

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_LANGUAGES = ("Python", "Cpp")
# The standard names are Zurich and Geneva, in the file that the house replaces.
_NAMES = {"Zurich": "Zürich", "Geneva": "Genève"}
_WORDS = {"recieve": "receive", "definately": "definitely", "xylophone": None, **_NAMES}
# A runtime in Bash that takes an event, and then does what follows.
_TAKES_AN_EVENT = """#!/bin/bash
exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}"
printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' >&3
read -r status <&3
"""
_POISON = {"words": [1, 2]}


def run(stack: DeployedStack) -> Outcome:
    """Words that both functions correct in the same way, and an event that both refuse.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("One dictionary in layers, two runtimes", stack.tell)
    for language in _LANGUAGES:
        with story.timed(f"first call of {language}"):
            _correct(stack, language)
    story.fact("corrected words", len(_WORDS))
    story.say(
        f"Sent {len(_WORDS)} words to Python and to C++: both found the same in the dictionary in /opt."
    )
    story.fact("names of the later layer", len(_NAMES))
    story.say(
        "Both layers have words/names.txt: the functions see that of the later one, and the rest of both."
    )
    for language in _LANGUAGES:
        error = _failure(stack, language, _POISON)
        require(error["errorType"] == "InvalidEvent", f"{language}: a bad event got {error}")
        require(error["errorMessage"] == "words must be an array of strings", f"{language}: {error}")
        require(bool(error["stackTrace"]), f"{language}: the error has no stack trace: {error}")
        _correct(stack, language)
    story.fact("errors with type, message and trace", len(_LANGUAGES))
    story.say("An event without words: both answer InvalidEvent with a trace, and go on with the next event.")
    big = {"words": ["receive"], "padding": "x" * 5_900_000}
    for language in _LANGUAGES:
        require(_answer(stack, language, big) == {"receive": "receive"}, f"{language}: the large event")
    story.fact("bytes of the largest event", len(json.dumps(big)))
    story.say("An event of nearly 6 MB passes through the Runtime API as well.")
    return story.outcome()


def _correct(stack: DeployedStack, language: str) -> None:
    """Check the corrections of all words."""
    found = _answer(stack, language, {"words": list(_WORDS)})
    require(found == _WORDS, f"{language} corrected {found}")


def _invoke(stack: DeployedStack, name: str, event: object) -> dict[str, Any]:
    answer = stack.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return {"payload": json.loads(answer["Payload"].read()), "error": answer.get("FunctionError")}


def _answer(stack: DeployedStack, language: str, event: object) -> dict[str, str | None]:
    answer = _invoke(stack, stack.output(f"{language}FunctionName"), event)
    require(answer["error"] is None, f"{language} failed: {answer}")
    corrections: dict[str, str | None] = answer["payload"]["corrections"]
    return corrections


def _failure(stack: DeployedStack, language: str, event: object) -> dict[str, Any]:
    answer = _invoke(stack, stack.output(f"{language}FunctionName"), event)
    require(answer["error"] == "Unhandled", f"{language} did not fail: {answer}")
    error: dict[str, Any] = answer["payload"]
    return error


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Layers in another order, missing and no longer shared; a runtime that crashes or hangs.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Wrong layers, and a runtime that fails", stack.tell)
    standard, house = stack.output("StandardLayerArn"), stack.output("HouseLayerArn")
    with _layers(stack, house, standard):
        found = _answer(stack, "Cpp", {"words": ["Geneva"]})
        require(found == {"Geneva": "Geneva"}, f"with the layers in the other order: {found}")
    story.fact("name with the layers in the other order", "Geneva")
    story.say("With the layers in the other order, the standard names win.")
    with _layers(stack):
        error = _failure(stack, "Cpp", {"words": []})
        require(error["errorType"] == "NoDictionary", f"without its layers: {error}")
    story.fact("error without layers", error["errorType"])
    story.say("Without its layers, the program reports that it cannot start, and why.")
    _correct(stack, "Cpp")
    for kind, end, expected in (
        ("crash", "exit 3", "Runtime.ExitError"),
        ("timeout", "sleep 600", "Sandbox.Timedout"),
    ):
        with _function(stack.client("lambda"), _like(stack), _TAKES_AN_EVENT + end) as name:
            answer = _invoke(stack, name, {})
            require(answer["payload"].get("errorType") == expected, f"{kind}: {answer}")
        story.fact(kind, expected)
    story.say(
        "A program that ends without an answer is a Runtime.ExitError, one that hangs a Sandbox.Timedout."
    )
    _share(stack, story)
    return story.outcome()


@contextmanager
def _layers(stack: DeployedStack, *arns: str) -> Iterator[None]:
    """Give the function in C++ other layers while the body runs."""
    client, name = stack.client("lambda"), stack.output("CppFunctionName")
    before = [one["Arn"] for one in client.get_function_configuration(FunctionName=name)["Layers"]]
    try:
        client.update_function_configuration(FunctionName=name, Layers=list(arns))
        _updated(stack, name)
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Layers=before)
        _updated(stack, name)


def _updated(stack: DeployedStack, name: str) -> None:
    def check() -> None:
        status = stack.client("lambda").get_function_configuration(FunctionName=name)["LastUpdateStatus"]
        if status != "Successful":
            raise NotYet(status)

    stack.wait_until(check, f"update of {name}")


def _like(stack: DeployedStack) -> dict[str, Any]:
    """The role and the log of the function in C++, for others that take their place."""
    name = stack.output("CppFunctionName")
    like = stack.client("lambda").get_function_configuration(FunctionName=name)
    return {"Role": like["Role"], "LoggingConfig": {"LogGroup": like["LoggingConfig"]["LogGroup"]}}


@contextmanager
def _function(
    client: Any, like: Mapping[str, Any], bootstrap: str, layers: Sequence[str] = ()
) -> Iterator[str]:
    """Make a function with a script as its runtime while the body runs."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, bootstrap)
    name = f"broken-{uuid4().hex[:8]}"
    client.create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="none",
        Code={"ZipFile": packed.getvalue()},
        Timeout=1,
        Layers=list(layers),
        **like,
    )
    try:
        client.get_waiter("function_active_v2").wait(FunctionName=name)
        yield name
    finally:
        client.delete_function(FunctionName=name)


def _share(stack: DeployedStack, story: Story) -> None:
    """Share a layer with the organization, and stop: a function that has it keeps it, no other gets it."""
    organization, account = make_member(stack)
    owner, arn = stack.client("lambda"), stack.output("StandardLayerArn")
    layer, version = arn.rsplit(":", 1)
    named = {"LayerName": layer, "VersionNumber": int(version), "StatementId": f"drill{uuid4().hex[:8]}"}
    admin = administrator_of(stack, account)
    client = stack.session.client("lambda", **admin)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam, role = stack.session.client("iam", **admin), f"drill-{uuid4().hex[:8]}"
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    like = {"Role": iam.create_role(RoleName=role, AssumeRolePolicyDocument=document)["Role"]["Arn"]}
    try:
        owner.add_layer_version_permission(
            **named, Action="lambda:GetLayerVersion", Principal="*", OrganizationId=organization
        )
        with _function(client, like, _TAKES_AN_EVENT, [arn]) as name:
            owner.remove_layer_version_permission(**named)
            configuration = client.get_function_configuration(FunctionName=name)
            require(
                [one["Arn"] for one in configuration["Layers"]] == [arn], f"the function: {configuration}"
            )
            try:
                with _function(client, like, _TAKES_AN_EVENT, [arn]):
                    pass
                refusal = "none"
            except ClientError as refused:
                refusal = refused.response["Error"]["Code"]
    finally:
        iam.delete_role(RoleName=role)
    require(refusal == "AccessDeniedException", f"a layer that is no longer shared: {refusal}")
    story.fact("refusal of a layer that is no longer shared", refusal)
    story.say(
        "Another account of the organization used a shared layer. After that ended, it can add it no more."
    )


def smoke(stack: DeployedStack, language: str) -> None:
    """Invoke a function.

    Raises:
        ScenarioFailed: It did not correct the words.
    """
    _correct(stack, language)


EVENT = BilledEvent("a call of the function in Python", partial(smoke, language=_LANGUAGES[0]))

ROLES = tuple(
    Covered(f"{language}FunctionName", partial(smoke, language=language)) for language in _LANGUAGES
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Nothing is stored."""
    return []
