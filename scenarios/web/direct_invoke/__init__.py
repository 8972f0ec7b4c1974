"""Sends charges through a caller that retries, loses answers on purpose, and takes each policy away once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults
from scenarios.web.direct_invoke.charges import Charges
from scenarios.web.direct_invoke.other_account import ACTION, take_policies_away

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_CHARGES = 12


def run(stack: DeployedStack) -> Outcome:
    """Each charge is booked once, whatever happens to its answer; what cannot be booked is not retried.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Charges by direct invocation", stack.tell)
    with closing(Charges(stack)) as charges:
        _repeat(charges, story)
        _lose_answers(charges, story)
        for cents, expected in ((-1, "InvalidCharge"), (99, "IdempotencyConflict")):
            key = charges.key()
            charges.call(key, charges.request(1250 if cents > 0 else 1))
            failed = charges.call(key, charges.request(cents))
            require(failed.get("error") == "FunctionFailed", f"{cents} cents returned {failed}")
            require(failed["message"].startswith(f"{expected}: "), f"{cents} cents: {failed['message']}")
            story.fact(expected, failed["error"])
            story.say(f"A function error is not retried: {failed['message'].replace(charges.run_id, '…')}")
        dry = charges.key()
        checked = charges.call(dry, charges.request(), mode="check")
        require("error" not in checked and charges.booked(dry) is None, f"the dry run: {checked}")
        story.say("Dry run: the caller may invoke the function, and nothing is booked.")
        _send(charges, story)
    return story.outcome()


def _repeat(charges: Charges, story: Story) -> None:
    keys = [charges.key() for _ in range(_CHARGES)]
    with ThreadPoolExecutor(2) as pool, story.timed(f"{2 * _CHARGES} calls"):
        answers = list(pool.map(lambda key: charges.call(key, charges.request()), keys * 2))
    for key, first, second in zip(keys, answers[:_CHARGES], answers[_CHARGES:], strict=True):
        ids = {one["payload"]["charge_id"] for one in (first, second)}
        require(ids == {charges.booked(key)}, f"charge {key} was answered with {ids}")
        require(
            sorted(one["payload"]["new"] for one in (first, second)) == [False, True], f"{first}, {second}"
        )
    story.fact("charges", _CHARGES)
    story.say(f"Sent {_CHARGES} charges, each twice with the same key: {_CHARGES} are booked, once each.")


def _lose_answers(charges: Charges, story: Story) -> None:
    """A charge is booked, its answer is lost, and the next attempt gets it."""
    for what, wait, limits in (
        ("the function times out after it has booked", 5, {}),
        ("the client gives an attempt up while the function works", 2, {"attempt": 1.0}),
    ):
        key = charges.key()
        answer = charges.call(key, charges.request(answer_after=wait), limits=limits)
        require("error" not in answer, f"{what}: {answer}")
        require(answer["attempts"] > 1 and not answer["payload"]["new"], f"{what}: {answer}")
        require(answer["payload"]["charge_id"] == charges.booked(key), f"{what}: another charge, {answer}")
        story.fact(what, answer["attempts"])
        story.say(f"{what.capitalize()}: attempt {answer['attempts']} gets the answer, booked once.")


def _send(charges: Charges, story: Story) -> None:
    key = charges.key()
    sent = charges.call(key, charges.request(), mode="send")
    charges.wait_for(key)
    require(charges.booked(key) == sent["payload"], "the charge has not the id of the asynchronous request")
    charges.call(charges.key(), charges.request(-1), mode="send")
    (failed,) = charges.failed.wait_for(1)
    require("InvalidCharge" in failed.reason, f"the failure queue has {failed}")
    story.fact("asynchronous failures", 1)
    story.say("Sent two events: one is booked; the other is in the failure queue, with its error.")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Throttle the function, then take each policy away once, in this account and in another one.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("No capacity, no permission", stack.tell)
    with closing(Charges(stack)) as charges:
        _throttle(stack, charges, story)
        role, key = faults.role_of(stack.output("CallerFunctionName")), charges.key()
        with faults.without_permission(role, ACTION):
            refused = charges.call(key, charges.request())
        require(refused.get("error") == "Refused" and charges.booked(key) is None, f"without it: {refused}")
        require("AccessDeniedException (403)" in refused["message"], refused["message"])
        story.fact("without identity policy", refused["error"])
        story.say(f"Without {ACTION} the caller is refused at the first attempt: AccessDeniedException.")
        take_policies_away(stack, charges, story)
    return story.outcome()


def _throttle(stack: DeployedStack, charges: Charges, story: Story) -> None:
    client, function = stack.client("lambda"), stack.output("FunctionName")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    try:
        key = charges.key()
        gave_up = charges.call(key, charges.request(), limits={"deadline": 2.0, "attempt": 1.0})
        require(gave_up.get("error") == "DeadlineExceeded", f"with no capacity: {gave_up}")
        require(charges.booked(key) is None, "a throttled charge is booked")
        story.say(
            "429 to every attempt: the client ends with DeadlineExceeded before its 2 seconds are over."
        )
        throttled = charges.throttles()
        with ThreadPoolExecutor(1) as pool:
            calling = pool.submit(charges.call, key, charges.request())
            charges.wait_for_throttle(throttled)
            client.delete_function_concurrency(FunctionName=function)
            answer = calling.result()
        require(answer.get("attempts", 0) > 1, f"while capacity came back: {answer}")
        story.fact("attempts while throttled", answer["attempts"])
        story.say(f"Capacity comes back during the next call: attempt {answer['attempts']} is answered.")
    finally:
        client.delete_function_concurrency(FunctionName=function)


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the caller, and of the function unless it fails.

    Raises:
        ScenarioFailed: The caller got no answer.
    """
    with closing(Charges(stack)) as charges:
        answer = charges.call(charges.key(), charges.request(), limits={"attempt": 20.0})
        require("error" not in answer, f"the caller got {answer}")


EVENT = BilledEvent("a charge, by the caller that is a function", smoke)

ROLES = (
    # Only the events that failed permanently are sent to the failure queue; `run` has one.
    Covered("FunctionName", smoke, only_for_failures=frozenset({"sqs:SendMessage"})),
    Covered("CallerFunctionName", smoke),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the charges, the failed events, and the statements that a drill has added."""
    client = stack.client("lambda")
    try:
        policy = client.get_policy(FunctionName=stack.output("AliasArn"))["Policy"]
    except client.exceptions.ResourceNotFoundException:
        policy = '{"Statement": []}'
    added = [one["Sid"] for one in json.loads(policy)["Statement"] if one["Sid"].startswith("drill")]
    return [*left.in_tables(stack), *left.in_queues(stack), *added]
