"""External and internal extensions, their events, and the telemetry that they subscribe to."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from helpers.lambda_functions import Hold, Invoked, eventually
from localaws import LocalAws
from localaws.engines import namespaces
from localaws.engines.runtime_api.environment import NOT_FOR_EXTENSIONS

from .test_runtime_api import Made, failed

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(not namespaces.available(), reason="this machine has no namespaces for functions"),
]

# An extension that writes to its log what it gets, and does what its variables say.
EXTENSION = """#!/var/lang/bin/python3 -u
import http.server, json, os, signal, sys, threading, time, urllib.error, urllib.request
NAME, API = os.path.basename(__file__), "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
def say(kind, what):
    print("EXT " + json.dumps([kind, what]))
def ask(path, body=None, method=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for one in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            say("record", one)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
BEFORE
status, found, headers = ask("/2020-01-01/extension/register", {"events": ["INVOKE", "SHUTDOWN"]},
    Lambda_Extension_Name=NAME, Lambda_Extension_Accept_Feature="accountId")
say("registered", found)
ME = {"Lambda_Extension_Identifier": headers["Lambda-Extension-Identifier"]}
AFTER
while True:
    _, event, _ = ask("/2020-01-01/extension/event/next", **ME)
    say("event", event)
    if event["eventType"] == "SHUTDOWN":
        SHUTDOWN
        sys.exit(0)
    INVOKE
"""
SUBSCRIBE = """
server = http.server.ThreadingHTTPServer(("sandbox.localdomain", 4243), Sink)
threading.Thread(target=server.serve_forever, daemon=True).start()
say("subscribed", ask("/2022-07-01/telemetry", {"schemaVersion": "2022-12-13",
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243"},
    "types": ["platform", "function"], "buffering": {"timeoutMs": 25}}, "PUT", **ME)[:2])
"""
HANDLER = """
import os, time
def handler(event, context):
    print("handled", event.get("n"))
    exec(event.get("run", ""))
    return event.get("n")
"""


def extension(before: str = "", after: str = "", invoke: str = "pass", shutdown: str = "pass") -> str:
    """The source of an extension."""
    text = EXTENSION.replace("BEFORE\n", f"{before}\n").replace("AFTER\n", f"{after}\n")
    return text.replace("    SHUTDOWN\n", f"    {shutdown}\n").replace("    INVOKE\n", f"    {invoke}\n")


def said(made: Made, function: str, kind: str) -> list[Any]:
    """What the extension of a function has written of a kind, in the order of time."""
    lines = [line for line in made.lines(function) if line.startswith("EXT ")]
    return [
        what for got, what in map(json.loads, (line.removeprefix("EXT ") for line in lines)) if got == kind
    ]


@pytest.fixture(scope="module")
def made(local_aws: LocalAws) -> Made:
    return Made(local_aws)


def make(made: Made, source: str, **settings: Any) -> str:
    """A function with the extension `watch`."""
    return made.make(HANDLER, Layers=[made.layer({"extensions/watch": source})], **settings)


def make_single(made: Made, source: str, **settings: Any) -> str:
    """A function with one environment at most, so that all invocations have the same extension."""
    name = make(made, source, **settings)
    made.aws.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    return name


def invoke(made: Made, name: str, event: dict[str, Any]) -> Invoked:
    """Invoke a function as soon as its environment is free."""

    def call() -> Invoked | None:
        with contextlib.suppress(made.aws.client("lambda").exceptions.TooManyRequestsException):
            return made.invoke(name, event)
        return None

    answer = eventually(call)
    assert answer is not None
    return answer


def test_an_extension_registers_and_learns_of_invocations_and_of_the_end(made: Made) -> None:
    name = make_single(made, extension(before="say('variables', sorted(os.environ))"))
    first = invoke(made, name, {"n": 1})
    assert (first.payload, invoke(made, name, {"n": 2}).payload) == (1, 2)
    (registered,) = said(made, name, "registered")
    assert registered == {
        "functionName": name,
        "functionVersion": "$LATEST",
        "handler": "index.handler",
        "accountId": made.aws.client("sts").get_caller_identity()["Account"],
    }
    (variables,) = said(made, name, "variables")
    assert not NOT_FOR_EXTENSIONS & {*variables}
    assert {"AWS_LAMBDA_FUNCTION_NAME", "AWS_REGION", "AWS_SESSION_TOKEN"} <= {*variables}
    made.aws.client("lambda").update_function_configuration(FunctionName=name, MemorySize=256)
    invoke(made, name, {"n": 3})
    eventually(lambda: len(said(made, name, "event")) == 4)
    events = said(made, name, "event")
    assert events[0]["requestId"] == first.request_id
    assert events[0]["invokedFunctionArn"].endswith(f":function:{name}")
    assert events[0]["tracing"]["value"].startswith("Root=1-")
    assert events[0]["deadlineMs"] > 1e12
    (ended,) = [one for one in events if one["eventType"] == "SHUTDOWN"]
    assert (ended["shutdownReason"], ended["deadlineMs"] > events[0]["deadlineMs"] - 60_000) == (
        "spindown",
        True,
    )


def test_the_answer_does_not_wait_for_extensions_but_the_next_invocation_does(made: Made) -> None:
    # The extension works on after the first answer: the second invocation needs another environment.
    name = make(made, extension(invoke="time.sleep(60)"), Timeout=30)
    asked = "event['n'] = os.path.exists('/tmp/mine'); open('/tmp/mine', 'w')"
    assert [made.invoke(name, {"run": asked}).payload for _ in range(2)] == [False, False]
    assert len(said(made, name, "registered")) == 2


def test_an_environment_counts_as_concurrency_until_its_extensions_are_done(made: Made, hold: Hold) -> None:
    name = make(made, extension(before=hold.source, invoke="hold()"), Timeout=120)
    lambda_ = made.aws.client("lambda")
    lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    assert made.invoke(name, {"n": 1}).payload == 1
    hold.wait()
    impatient = made.aws.session.client("lambda", config=Config(retries={"total_max_attempts": 1}))
    with pytest.raises(lambda_.exceptions.TooManyRequestsException):
        impatient.invoke(FunctionName=name)
    hold.release()

    def answer() -> Any:
        with contextlib.suppress(ClientError):
            return impatient.invoke(FunctionName=name, Payload=b'{"n": 2}')["Payload"].read()

    assert eventually(answer) == b"2"


def test_telemetry_has_records_of_all_phases(made: Made) -> None:
    name = make_single(made, extension(after=SUBSCRIBE))
    first = invoke(made, name, {"n": 1})
    invoke(made, name, {"run": "raise KeyError(1)"})
    eventually(lambda: str(said(made, name, "record")).count("platform.report") == 2)
    records = said(made, name, "record")
    assert said(made, name, "subscribed") == [[200, "OK"]]
    types = [one["type"] for one in records]
    assert types[:5] == [
        "platform.initStart",
        "platform.telemetrySubscription",
        "platform.extension",
        "platform.initRuntimeDone",
        "platform.initReport",
    ]
    assert [one for one in types[5:] if one != "function"] == [
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
    ] * 2
    of = {kind: [one["record"] for one in records if one["type"] == kind] for kind in set(types)}
    assert "handled 1" in of["function"]
    assert of["platform.initStart"][0]["functionName"] == name
    assert of["platform.initReport"][0]["metrics"]["durationMs"] > 0
    assert of["platform.extension"][0] == {
        "name": "watch",
        "state": "Ready",
        "events": ["INVOKE", "SHUTDOWN"],
    }
    assert of["platform.telemetrySubscription"][0]["types"] == ["platform", "function"]
    assert of["platform.start"][0]["requestId"] == first.request_id
    assert [one["status"] for one in of["platform.runtimeDone"]] == ["success", "error"]
    assert of["platform.report"][0]["metrics"]["billedDurationMs"] >= 0
    lines = made.lines(name)
    assert "TELEMETRY\tName: watch\tState: Subscribed\tTypes: [Platform, Function]" in lines
    assert "EXTENSION\tName: watch\tState: Ready\tEvents: [INVOKE, SHUTDOWN]" in lines


def test_extensions_learn_why_an_environment_ends_and_tmp_stays(made: Made) -> None:
    name = make_single(made, extension(), Timeout=2)
    invoke(made, name, {"run": "open('/tmp/kept', 'w')"})
    assert failed(invoke(made, name, {"run": "time.sleep(60)"}))[0] == "Sandbox.Timedout"
    assert failed(invoke(made, name, {"run": "os._exit(3)"}))[1].endswith("exit status 3")
    eventually(lambda: len(said(made, name, "event")) == 5)
    reasons = [one.get("shutdownReason") for one in said(made, name, "event")]
    assert [one for one in reasons if one] == ["timeout", "failure"]


@pytest.mark.parametrize(
    ("settings", "kind", "reason"),
    [
        ({"before": "sys.exit(5)"}, "Extension.Crash", "exit status 5"),
        ({"before": "sys.exit(0)"}, "Extension.Crash", "exit code 0"),
        (
            {
                "after": "ask('/2020-01-01/extension/init/error', {'errorMessage': 'no key'},"
                " Lambda_Extension_Function_Error_Type='Shop.NoKey', **ME); sys.exit(0)"
            },
            "Extension.InitError",
            "exit code 0",
        ),
        ({"invoke": "os.kill(os.getpid(), 9)"}, "Extension.Crash", "signal: killed"),
    ],
)
def test_an_extension_that_ends_ends_the_environment(
    made: Made, settings: dict[str, str], kind: str, reason: str
) -> None:
    name = make(made, extension(**settings))
    # The handler takes longer than the extension needs to end.
    invoked = made.invoke(name, {"run": "time.sleep(5)"})
    assert failed(invoked) == (kind, f"RequestId: ID Error: {reason}")


def test_an_extension_that_cannot_run_fails_the_initialization(made: Made) -> None:
    name = make(made, "#!/missing")
    invoked = made.invoke(name)
    message = "RequestId: ID Error: fork/exec /opt/extensions/watch: no such file or directory"
    assert failed(invoked) == ("Extension.LaunchError", message)


def test_an_extension_that_ends_after_the_answer_costs_the_next_caller_a_cold_start_only(made: Made) -> None:
    # It ends when the function has gone on to wait for its next event.
    waits = "[time.sleep(0.01) for _ in iter(lambda: os.path.exists('/tmp/answered'), True)]"
    name = make(made, extension(invoke=f"{waits}; os.remove('/tmp/answered'); sys.exit(4)"))
    answered = "import threading; threading.Timer(0.2, lambda: open('/tmp/answered', 'w')).start()"
    assert made.invoke(name, {"n": 1, "run": answered}).payload == 1
    assert made.invoke(name, {"n": 2, "run": answered}).payload == 2
    eventually(
        lambda: any(line.endswith("Error: exit status 4\nExtension.Crash") for line in made.lines(name))
    )


REFUSALS = """
def refused(*request, **headers):
    status, error, _ = ask(*request, **headers)
    return [status, error["errorType"]]
register, telemetry = "/2020-01-01/extension/register", "/2022-07-01/telemetry"
to = {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243"}
whole = {"schemaVersion": "2022-12-13", "destination": to, "types": ["function"]}
other = "/2020-01-01/extension/event/next"
say("refused", [
    refused(register, {"events": []}),
    refused(register, {"events": ["START"]}, Lambda_Extension_Name=NAME),
    refused(register, {"events": ["INVOKE"]}, Lambda_Extension_Name=NAME),
    refused(register, {"events": ["SHUTDOWN"]}, Lambda_Extension_Name="inside"),
    refused(register, {}, Lambda_Extension_Name="inside"),
    refused(other),
    refused(other, Lambda_Extension_Identifier="me"),
    refused(other, Lambda_Extension_Identifier="00000000-0000-0000-0000-000000000000"),
    refused("/2020-01-01/extension/exit/error", {}, **ME),
])
say("invalid", [refused(telemetry, {**whole, **part}, "PUT", **ME) for part in (
    {"types": []}, {"types": ["metrics"]}, {"schemaVersion": "1"},
    {"destination": {**to, "URI": "http://127.0.0.1:1"}},
    {"destination": {**to, "protocol": "TCP"}}, {"buffering": {"maxItems": 1}},
    {"buffering": {"maxBytes": 1}}, {"buffering": {"timeoutMs": 1}}, {"buffering": {"timeoutMs": "25"}})])
say("logs", refused("/2020-08-15/logs", whole, "PUT", **ME))
"""


def test_requests_that_lambda_refuses_are_refused(made: Made) -> None:
    name = make(made, extension(after=REFUSALS, invoke="say('late', refused(telemetry, whole, 'PUT', **ME))"))
    made.invoke(name, {})
    assert said(made, name, "refused")[0] == [
        [403, "Extension.InvalidExtensionName"],
        [403, "Extension.InvalidEventType"],
        [403, "Extension.InvalidExtensionState"],
        [403, "Extension.InvalidEventType"],
        [403, "InvalidRequestFormat"],
        [403, "Extension.MissingExtensionIdentifier"],
        [403, "Extension.InvalidExtensionIdentifier"],
        [403, "Extension.UnknownExtensionIdentifier"],
        [403, "Extension.MissingHeader"],
    ]
    assert said(made, name, "invalid")[0] == [[400, "ValidationError"]] * 9
    assert said(made, name, "logs") == [[202, "Logs.NotSupported"]]
    assert eventually(lambda: said(made, name, "late")) == [[403, "Telemetry.SubscriptionClosed"]]


INTERNAL = """
import json, os, threading, urllib.request
API, EVENTS = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2020-01-01/extension", []
def ask(path, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(API + path, body, headers)) as answer:
        return json.load(answer), answer.headers
_, found = ask("/register", b'{"events": ["INVOKE"]}', Lambda_Extension_Name="inside")
def run():
    while True:
        EVENTS.append(ask("/event/next", Lambda_Extension_Identifier=found["Lambda-Extension-Identifier"])[0])
threading.Thread(target=run, daemon=True).start()
def handler(event, context):
    while context.aws_request_id not in [one["requestId"] for one in EVENTS]:
        pass
    return [one["eventType"] for one in EVENTS]
"""


def test_an_internal_extension_gets_invocations(made: Made) -> None:
    wrapped = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}}
    files = {"index.py": INTERNAL, "wrap": '#!/bin/sh\nexec "$@"\n'}
    name = made.custom(files, Runtime="python3.13", Handler="index.handler", Environment=wrapped, Timeout=20)
    assert made.invoke(name).payload == ["INVOKE"]
    assert set(made.invoke(name).payload) == {"INVOKE"}


def test_a_function_gets_and_loses_its_extension(made: Made) -> None:
    name = made.make(HANDLER)
    lambda_ = made.aws.client("lambda")
    made.invoke(name, {})
    layer = made.layer({"extensions/watch": extension()})
    lambda_.update_function_configuration(FunctionName=name, Layers=[layer])
    made.invoke(name, {})
    assert len(said(made, name, "registered")) == 1
    lambda_.update_function_configuration(FunctionName=name, Layers=[])
    assert made.invoke(name, {}).error is None
    assert len(said(made, name, "registered")) == 1
