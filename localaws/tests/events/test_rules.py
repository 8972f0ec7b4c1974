"""Rules: the events of their targets, dead-letter queues and retries."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Queue, eventually
from helpers.stacks import DeploymentFailedError, deploy

pytestmark = pytest.mark.local

EVENTS = "events.amazonaws.com"


def rule_to(functions: Functions, target: str, **settings: Any) -> str:
    """The ARN of a rule for events of a source with its name."""
    events, name = functions.aws.client("events"), f"rule-{uuid.uuid4().hex[:8]}"
    rule: str = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": target, **settings}])
    return rule


def put_event(functions: Functions, rule: str, detail: str = '{"number": 7}') -> None:
    """Send an event that the rule matches."""
    entry = {"Source": rule.rpartition("/")[2], "DetailType": "order", "Detail": detail}
    functions.aws.client("events").put_events(Entries=[entry])


def attributes(message: dict[str, Any]) -> dict[str, str]:
    """The message attributes as strings."""
    return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}


def buried(functions: Functions, target: str, dead_letters: Queue, **settings: Any) -> dict[str, Any]:
    """The dead letter of an event that cannot be delivered to the target."""
    rule = rule_to(functions, target, DeadLetterConfig={"Arn": dead_letters.arn}, **settings)
    put_event(functions, rule)
    message = dead_letters.wait()
    assert attributes(message)["RULE_ARN"] == rule
    assert attributes(message)["TARGET_ARN"] == target
    return message


def test_a_function_gets_the_whole_documented_event(functions: Functions) -> None:
    # https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
    queue = functions.queue()
    name = functions.make(
        "def handler(event, context): return event", role=functions.role(("sqs:SendMessage", queue.arn))
    )
    functions.settle(name, OnSuccess=queue.arn)
    functions.aws.client("lambda").add_permission(
        FunctionName=name, StatementId="1", Action="lambda:InvokeFunction", Principal=EVENTS
    )
    rule = rule_to(functions, functions.arn("lambda", f"function:{name}"))
    put_event(functions, rule)
    event = queue.wait_for_body()["responsePayload"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event.pop("id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event.pop("time"))
    assert event == {
        "version": "0",
        "detail-type": "order",
        "source": rule.rpartition("/")[2],
        "account": functions.aws.account,
        "region": functions.aws.region,
        "resources": [],
        "detail": {"number": 7},
    }


def test_an_event_with_half_a_surrogate_pair_is_not_lost(functions: Functions) -> None:
    dead_letters = functions.queue(writable_by=EVENTS)
    rule = rule_to(
        functions, functions.arn("lambda", "function:none"), DeadLetterConfig={"Arn": dead_letters.arn}
    )
    put_event(functions, rule, '{"text": "\\ud800\u00e9"}')
    assert dead_letters.wait_for_body()["detail"] == {"text": "\ud800\u00e9"}


def test_an_event_that_is_too_large_for_lambda_goes_to_a_dead_letter_queue_that_takes_it(
    functions: Functions,
) -> None:
    name, dead_letters = (
        functions.make("def handler(event, context): pass"),
        functions.queue(writable_by=EVENTS),
    )
    functions.aws.client("lambda").add_permission(
        FunctionName=name, StatementId="1", Action="lambda:InvokeFunction", Principal=EVENTS
    )
    target, queue = functions.arn("lambda", f"function:{name}"), {"Arn": dead_letters.arn}
    twice = {"InputPathsMap": {"it": "$.detail"}, "InputTemplate": '{"first": <it>, "second": <it>}'}
    whole = rule_to(functions, target, DeadLetterConfig=queue)
    doubled = rule_to(functions, target, DeadLetterConfig=queue, InputTransformer=twice)
    put_event(functions, whole, json.dumps({"a": "x" * 1_048_400}))  # too large for the queue as well
    put_event(functions, whole, json.dumps({"a": "\u00e9" * 400_000}, ensure_ascii=False))  # not too large
    put_event(functions, doubled, json.dumps({"a": "x" * 600_000}))
    message = dead_letters.wait()
    assert attributes(message)["RULE_ARN"] == doubled
    assert attributes(message)["ERROR_CODE"] == "SDK_CLIENT_ERROR"
    assert "too large for the Event invocation type" in attributes(message)["ERROR_MESSAGE"]
    assert len(json.loads(message["Body"])["detail"]["a"]) == 600_000
    assert dead_letters.receive() == []


def test_an_event_for_a_target_that_does_not_allow_the_rule_goes_to_the_dead_letter_queue_unchanged(
    functions: Functions,
) -> None:
    name = functions.make("def handler(event, context): pass")
    target = functions.arn("lambda", f"function:{name}")
    message = buried(functions, target, functions.queue(writable_by=EVENTS), Input='{"changed": true}')
    assert json.loads(message["Body"])["detail"] == {"number": 7}
    assert attributes(message)["ERROR_CODE"] == "NO_PERMISSIONS"
    assert attributes(message)["RETRY_ATTEMPTS"] == "0"
    assert target in attributes(message)["ERROR_MESSAGE"]


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("lambda", "function:missing"),
        ("sqs", "missing"),
        ("sns", "missing"),
        ("logs", "log-group:missing"),
        ("states", "stateMachine:missing"),
        ("events", "event-bus/missing"),
        ("events", "api-destination/missing/1234"),
    ],
)
def test_an_event_for_a_target_that_does_not_exist_goes_to_the_dead_letter_queue(
    functions: Functions, service: str, name: str
) -> None:
    with_role = {"RoleArn": functions.role()} if service in ("states", "events") else {}
    dead_letters = functions.queue(writable_by=EVENTS)
    message = buried(functions, functions.arn(service, name), dead_letters, **with_role)
    assert attributes(message)["ERROR_CODE"] == "NO_RESOURCE"


def test_a_delivered_event_is_not_in_the_dead_letter_queue(functions: Functions) -> None:
    target, dead_letters = functions.queue(writable_by=EVENTS), functions.queue(writable_by=EVENTS)
    put_event(functions, rule_to(functions, target.arn, DeadLetterConfig={"Arn": dead_letters.arn}))
    assert target.wait_for_body()["detail"] == {"number": 7}
    assert dead_letters.receive() == []


def test_a_dead_letter_queue_must_allow_the_rule(functions: Functions) -> None:
    closed, after = functions.queue(), functions.queue(writable_by=EVENTS)
    missing = functions.arn("sqs", "missing")
    put_event(functions, rule_to(functions, missing, DeadLetterConfig={"Arn": closed.arn}))
    buried(functions, missing, after)  # the first event has been handled by now
    assert closed.receive() == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"RetryPolicy": {"MaximumRetryAttempts": 186}}, "Member must have value less than or equal to 185"),
        (
            {"RetryPolicy": {"MaximumEventAgeInSeconds": 86401}},
            "Member must have value less than or equal to 86400",
        ),
        ({"DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:1:dead.fifo"}}, "must be a standard queue"),
    ],
)
def test_settings_beyond_the_limits_are_refused(
    functions: Functions, settings: dict[str, Any], problem: str
) -> None:
    target = functions.queue().arn
    with pytest.raises(ClientError, match=problem):
        rule_to(functions, target, **settings)
    rule = {"EventPattern": {"source": ["shop"]}, "Targets": [{"Id": "1", "Arn": target, **settings}]}
    with pytest.raises(DeploymentFailedError, match=problem):
        deploy(functions.aws, {"Rule": {"Type": "AWS::Events::Rule", "Properties": rule}})


def test_the_rule_of_a_template_has_a_dead_letter_queue(functions: Functions) -> None:
    dead_letters = functions.queue(writable_by=EVENTS)
    source = f"shop-{dead_letters.name}"
    target = {
        "Id": "1",
        "Arn": functions.arn("sqs", "missing"),
        "DeadLetterConfig": {"Arn": dead_letters.arn},
        "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60},
    }
    rule = {"EventPattern": {"source": [source]}, "Targets": [target]}
    deploy(functions.aws, {"Rule": {"Type": "AWS::Events::Rule", "Properties": rule}})
    put_event(functions, source)
    assert json.loads(dead_letters.wait()["Body"])["source"] == source


# --- Retries


class Endpoint:
    """An HTTP server that answers with these statuses in turn, and then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.bodies = list(statuses), list[Any]()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(endpoint.statuses.pop(0) if endpoint.statuses else 200)
                self.end_headers()
                endpoint.bodies.append(json.loads(body))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def destination(self, functions: Functions) -> str:
        """The ARN of an API destination for it."""
        events, name = functions.aws.client("events"), f"api-{uuid.uuid4().hex[:8]}"
        key = {"ApiKeyAuthParameters": {"ApiKeyName": "x-key", "ApiKeyValue": "secret"}}
        connection = events.create_connection(Name=name, AuthorizationType="API_KEY", AuthParameters=key)
        arn: str = events.create_api_destination(
            Name=name,
            ConnectionArn=connection["ConnectionArn"],
            InvocationEndpoint=f"http://127.0.0.1:{self.server.server_port}/",
            HttpMethod="POST",
        )["ApiDestinationArn"]
        return arn


@pytest.fixture
def endpoint() -> Iterator[Callable[..., Endpoint]]:
    made: list[Endpoint] = []

    def make(*statuses: int) -> Endpoint:
        made.append(Endpoint(*statuses))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def sent(functions: Functions, target: str, dead_letters: Queue, **policy: int) -> None:
    """Send an event to an API destination."""
    role = functions.role(service=EVENTS)
    settings = {"DeadLetterConfig": {"Arn": dead_letters.arn}, "RoleArn": role, "RetryPolicy": policy}
    put_event(functions, rule_to(functions, target, **settings))


def test_an_endpoint_that_is_unavailable_is_called_again(
    functions: Functions, endpoint: Callable[..., Endpoint]
) -> None:
    api, dead_letters = endpoint(503, 429), functions.queue(writable_by=EVENTS)
    sent(functions, api.destination(functions), dead_letters, MaximumRetryAttempts=2)
    assert [one["detail"] for one in eventually(lambda: api.bodies[2:])] == [{"number": 7}]
    assert dead_letters.receive() == []


@pytest.mark.parametrize(
    ("statuses", "policy", "calls", "expected"),
    [
        ((429, 429, 429), {"MaximumRetryAttempts": 1}, 2, ("THROTTLING", "MaximumRetryAttempts")),
        ((500,), {"MaximumRetryAttempts": 0}, 1, ("SDK_CLIENT_ERROR", "MaximumRetryAttempts")),
        (
            (503,) * 9,
            {"MaximumEventAgeInSeconds": 60},
            None,  # as many as there is time for
            ("SDK_CLIENT_ERROR", "MaximumEventAgeInSeconds"),
        ),
        ((400,), {}, 1, ("SDK_CLIENT_ERROR", None)),
    ],
)
def test_after_the_last_retry_the_event_goes_to_the_dead_letter_queue(
    functions: Functions,
    endpoint: Callable[..., Endpoint],
    statuses: tuple[int, ...],
    policy: dict[str, int],
    calls: int | None,
    expected: tuple[str, str | None],
) -> None:
    api, dead_letters = endpoint(*statuses), functions.queue(writable_by=EVENTS)
    sent(functions, api.destination(functions), dead_letters, **policy)
    found = attributes(dead_letters.wait())
    assert (found["ERROR_CODE"], found.get("EXHAUSTED_RETRY_CONDITION")) == expected
    assert len(api.bodies) == int(found["RETRY_ATTEMPTS"]) + 1
    assert calls in (None, len(api.bodies))


# --- Why the bridges are needed


def test_still_needed_the_emulator_loses_undeliverable_events(stock_functions: Functions) -> None:
    dead_letters = stock_functions.queue(writable_by=EVENTS)
    missing = stock_functions.arn("sqs", "missing")
    put_event(stock_functions, rule_to(stock_functions, missing, DeadLetterConfig={"Arn": dead_letters.arn}))
    taken = stock_functions.queue(writable_by=EVENTS)
    put_event(stock_functions, rule_to(stock_functions, taken.arn))
    taken.wait()
    assert dead_letters.receive() == []


# --- Log groups


LOGS = ("logs:CreateLogStream", "logs:PutLogEvents")


def log_group(functions: Functions, actions: tuple[str, ...], *, by_account: bool = False) -> str:
    """The ARN of a log group to which EventBridge may do this, by its own policy or one of the account."""
    logs, name = functions.aws.client("logs"), f"/aws/events/{uuid.uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=name)
    arn = functions.arn("logs", f"log-group:{name}")
    allow = {"Effect": "Allow", "Principal": {"Service": EVENTS}, "Resource": f"{arn}:*"}
    if actions:
        document = json.dumps({"Version": "2012-10-17", "Statement": [{**allow, "Action": list(actions)}]})
        place = {"policyName": name.replace("/", "-")} if by_account else {"resourceArn": arn}
        logs.put_resource_policy(policyDocument=document, **place)
    return arn


@pytest.mark.parametrize("suffix", ["", ":*"])
def test_a_log_group_gets_the_whole_event(functions: Functions, suffix: str) -> None:
    group = log_group(functions, LOGS, by_account=bool(suffix))
    rule = rule_to(functions, group + suffix)
    put_event(functions, rule)
    (line,) = eventually(lambda: lines(functions, group))
    event = json.loads(line["message"])
    assert (event["detail"], event["source"]) == ({"number": 7}, rule.rpartition("/")[2])
    moment = datetime.fromisoformat(event["time"].replace("Z", "+00:00"))
    assert line["timestamp"] == moment.timestamp() * 1000


def test_a_log_group_gets_the_message_and_the_time_of_the_input(functions: Functions) -> None:
    group = log_group(functions, LOGS)
    transformer = {
        "InputPathsMap": {"t": "$.time", "n": "$.detail.number"},
        "InputTemplate": '{"timestamp": <t>, "message": "order <n>"}',
    }
    put_event(functions, rule_to(functions, group, InputTransformer=transformer))
    (line,) = eventually(lambda: lines(functions, group))
    assert line["message"] == "order 7"
    assert line["timestamp"] % 1000 == 0


@pytest.mark.parametrize(
    "replaced",
    [
        {"Input": '{"message": "no time"}'},
        {"Input": '"text"'},
        {"Input": '{"timestamp": "soon", "message": "x"}'},
        {"InputPath": "$.detail"},
        {"InputTransformer": {"InputPathsMap": {"n": "$.detail.number"}, "InputTemplate": '"order <n>"'}},
    ],
)
def test_an_input_without_message_and_timestamp_goes_to_the_dead_letter_queue(
    functions: Functions, replaced: dict[str, Any]
) -> None:
    group = log_group(functions, LOGS)
    message = buried(functions, group, functions.queue(writable_by=EVENTS), **replaced)
    assert attributes(message)["ERROR_CODE"] == "INVALID_PARAMETER"
    assert json.loads(message["Body"])["detail"] == {"number": 7}
    assert lines(functions, group) == []


@pytest.mark.parametrize("actions", [(), LOGS[:1], LOGS[1:]])
def test_a_log_group_must_allow_both_actions(functions: Functions, actions: tuple[str, ...]) -> None:
    group = log_group(functions, actions)
    message = buried(functions, group, functions.queue(writable_by=EVENTS))
    assert attributes(message)["ERROR_CODE"] == "NO_PERMISSIONS"
    assert lines(functions, group) == []


def lines(functions: Functions, group: str) -> list[dict[str, Any]]:
    """What is in the log group."""
    name = group.split(":")[6]
    found: list[dict[str, Any]] = functions.aws.client("logs").filter_log_events(logGroupName=name)["events"]
    return found
