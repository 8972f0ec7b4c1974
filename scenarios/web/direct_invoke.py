"""Sends charges through a caller that retries, loses answers on purpose, and takes each policy away once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support import leftovers as left
from scenarios.support.failure_queue import FailureQueue
from scenarios.support.faults import Faults

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_CHARGES = 12
_ACTION = "lambda:InvokeFunction"
_NOT_OURS = "o-0000000000"


class Charges:
    """The charges of one run, in the table and as the caller sees them."""

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid4().hex[:8]
        self._stack = stack
        self._lambda = stack.client("lambda")
        self._dynamodb = stack.client("dynamodb")
        self._table = stack.output("TableName")
        self._keys: set[str] = set()
        self.failed = FailureQueue(
            stack, stack.output("FailureQueueUrl"), lambda failed: self.run_id in json.dumps(failed.event)
        )

    def request(self, cents: int = 1250, **more: float) -> dict[str, Any]:
        """A request to charge an account of this run."""
        return {"account": f"{self.run_id}-account", "cents": cents, **more}

    def key(self) -> str:
        """A new idempotency key."""
        key = f"{self.run_id}-{uuid4().hex}"
        self._keys.add(key)
        return key

    def call(self, key: str, request: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Let the caller send a request, and return what its client returned or raised."""
        event = {"request": request, "idempotency_key": key, **more}
        answer = self._lambda.invoke(
            FunctionName=self._stack.output("CallerFunctionName"), Payload=json.dumps(event)
        )
        body = json.load(answer["Payload"])
        require("FunctionError" not in answer, f"the caller failed: {body}")
        return dict(body)

    def booked(self, key: str) -> str | None:
        """The id of the charge with a key, if it is booked."""
        answer = self._dynamodb.get_item(
            TableName=self._table, Key={"idempotency_key": {"S": key}}, ConsistentRead=True
        )
        return answer["Item"]["charge_id"]["S"] if "Item" in answer else None

    def wait_for(self, key: str) -> None:
        """Wait until a charge is booked."""

        def check() -> None:
            if self.booked(key) is None:
                raise NotYet("it is not booked")

        self._stack.wait_until(check, f"charge {key}")

    def close(self) -> None:
        """Delete the charges and failed events of this run."""
        for key in self._keys:
            self._dynamodb.delete_item(TableName=self._table, Key={"idempotency_key": {"S": key}})
        self.failed.close()


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
        with faults.without_permission(role, _ACTION):
            refused = charges.call(key, charges.request())
        require(refused.get("error") == "Refused" and charges.booked(key) is None, f"without it: {refused}")
        require("AccessDeniedException (403)" in refused["message"], refused["message"])
        story.fact("without identity policy", refused["error"])
        story.say(f"Without {_ACTION} the caller is refused at the first attempt: AccessDeniedException.")
        _another_account(stack, charges, story)
    return story.outcome()


def _throttle(stack: DeployedStack, charges: Charges, story: Story) -> None:
    client, function = stack.client("lambda"), stack.output("FunctionName")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    restored = threading.Timer(1.5, client.delete_function_concurrency, kwargs={"FunctionName": function})
    try:
        key = charges.key()
        gave_up = charges.call(key, charges.request(), limits={"deadline": 2.0, "attempt": 1.0})
        require(gave_up.get("error") == "DeadlineExceeded", f"with no capacity: {gave_up}")
        require(charges.booked(key) is None, "a throttled charge is booked")
        story.say(
            "429 to every attempt: the client ends with DeadlineExceeded before its 2 seconds are over."
        )
        restored.start()
        started = time.monotonic()
        answer = charges.call(key, charges.request())
        require(answer.get("attempts", 0) > 1, f"while capacity came back: {answer}")
        require(time.monotonic() - started < 30, "the call took longer than its deadline")
        story.fact("attempts while throttled", answer["attempts"])
        story.say(f"Capacity comes back during the next call: attempt {answer['attempts']} is answered.")
    finally:
        restored.cancel()
        client.delete_function_concurrency(FunctionName=function)


def _another_account(stack: DeployedStack, charges: Charges, story: Story) -> None:
    """Identity AND resource policy: with either of them only, another account is refused."""
    organization, account = _member(stack)
    admin = _assume(stack, f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole")
    alias = stack.output("AliasArn")
    statements: dict[str, Mapping[str, str]] = {
        "no statement": {},
        "a statement for the account": {"Principal": account},
        "a statement for the organization": {"Principal": "*", "PrincipalOrgID": organization},
        "a statement for another organization": {"Principal": "*", "PrincipalOrgID": _NOT_OURS},
    }
    for what, statement in statements.items():
        for identity in (True, False):
            allowed, key = alias if identity else None, charges.key()
            with _caller(stack, account, admin, allowed) as client, _statement(stack, statement):
                payload = json.dumps({**charges.request(), "idempotency_key": key})
                try:
                    client.invoke(FunctionName=alias, Payload=payload)
                    seen = "booked"
                except ClientError as error:
                    seen = error.response["Error"]["Code"]
                admitted = identity and statement.get("Principal") and _NOT_OURS not in statement.values()
                require(seen == ("booked" if admitted else "AccessDeniedException"), f"{what}: {seen}")
                require((charges.booked(key) is not None) == (seen == "booked"), f"{what}: booked wrongly")
                with_identity = "with" if identity else "without"
                story.fact(f"{what}, {with_identity} identity policy", seen)
                story.say(f"Another account, {with_identity} an identity policy, {what}: {seen}.")


def _member(stack: DeployedStack) -> tuple[str, str]:
    """The organization of this account, made if need be, and a new account in it."""
    client = stack.client("organizations")
    try:
        organization = client.create_organization(FeatureSet="ALL")["Organization"]
    except client.exceptions.AlreadyInOrganizationException:
        organization = client.describe_organization()["Organization"]
    made = client.create_account(Email=f"{uuid4().hex}@example.com", AccountName="caller")
    return organization["Id"], made["CreateAccountStatus"]["AccountId"]


def _assume(stack: DeployedStack, role: str, **own: Any) -> dict[str, Any]:
    """The credentials of a role, as arguments of a client; assumed with those of another one, if given."""
    sts = stack.session.client("sts", **own)
    given = sts.assume_role(RoleArn=role, RoleSessionName="drill")["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


@contextmanager
def _caller(stack: DeployedStack, account: str, admin: dict[str, Any], allowed: str | None) -> Iterator[Any]:
    """A client of a new role in an account, whose policy allows it to invoke one function or nothing."""
    iam, name = stack.session.client("iam", **admin), f"caller-{uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    try:
        if allowed:
            statement = {"Effect": "Allow", "Action": _ACTION, "Resource": allowed}
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=_policy(statement))
        yield stack.session.client("lambda", **_assume(stack, role, **admin))
    finally:
        if allowed:
            iam.delete_role_policy(RoleName=name, PolicyName="own")
        iam.delete_role(RoleName=name)


@contextmanager
def _statement(stack: DeployedStack, statement: Mapping[str, str]) -> Iterator[None]:
    """Add a statement to the alias's policy while the body runs."""
    if not statement:
        yield
        return
    client, sid = stack.client("lambda"), f"drill{uuid4().hex[:8]}"
    named = {"FunctionName": stack.output("AliasArn"), "StatementId": sid}
    client.add_permission(**named, Action=_ACTION, **statement)
    try:
        yield
    finally:
        client.remove_permission(**named)


def _policy(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the caller, and of the function unless it fails.

    Raises:
        ScenarioFailed: The caller got no answer.
    """
    with closing(Charges(stack)) as charges:
        answer = charges.call(charges.key(), charges.request(), limits={"deadline": 5.0, "attempt": 4.0})
        require("error" not in answer, f"the caller got {answer}")


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
