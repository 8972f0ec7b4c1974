"""The handler of `profiling`, under the genuine agent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from codeguru_profiler_agent.aws_lambda import profiler_decorator

from observability.profiling.spelling import distance, nearest
from tests.handlers.importing import import_handler

ARN = "arn:aws:codeguru-profiler:eu-west-1:123456789012:profilingGroup/suggestions"
WORDS = ["receive", "recipe", "relieve", "retrieve", "believe"]
CONTEXT = SimpleNamespace(
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:suggest",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 30_000,
)


class Service:
    """What the agent asks and posts, in place of CodeGuru Profiler."""

    def __init__(self) -> None:
        self.profiles: list[str] = []
        self.posted = threading.Event()

    def answer(self, path: str) -> tuple[int, bytes]:
        if path.endswith("/configureAgent"):
            return 200, json.dumps(
                {"configuration": {}, "shouldProfile": True, "periodInSeconds": 1, "agentParameters": FAST}
            ).encode()
        self.profiles.append(path.partition("?")[0])
        self.posted.set()
        return 204, b""


FAST = {
    "SamplingIntervalInMilliseconds": "10",
    "MinimumTimeForReportingInMilliseconds": "1",
    "ReportingIntervalInMilliseconds": "1",
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A server of this machine that the agent takes for CodeGuru Profiler."""
    service = Service()

    class Requests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = service.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CODEGURU_PROFILER_GROUP_ARN": ARN,
        "AWS_LAMBDA_FUNCTION_NAME": "suggest",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield service
    profiler_decorator.clear_static_profiler()
    server.shutdown()
    server.server_close()


def function(monkeypatch: pytest.MonkeyPatch, *, enabled: bool) -> ModuleType:
    """The handler's module after a cold start."""
    monkeypatch.setenv("AWS_CODEGURU_PROFILER_ENABLED", str(enabled).lower())
    return import_handler("observability.profiling.handler", {})


def test_the_agent_posts_a_profile_to_its_group(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    module = function(monkeypatch, enabled=True)
    # The agent takes samples only during an invocation, so this one lasts until it has posted them.
    monkeypatch.setattr(module, "nearest", lambda *_: [str(service.posted.wait(60))])
    assert module.handler({"word": "teh", "dictionary": ["the"]}, CONTEXT) == {"suggestions": ["True"]}
    assert set(service.profiles) == {"/profilingGroups/suggestions/agentProfile"}


def test_an_agent_that_is_switched_off_posts_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = function(monkeypatch, enabled=False)
    assert module.handler({"word": "a", "dictionary": ["b"]}, CONTEXT) == {"suggestions": ["b"]}
    assert isinstance(profiler_decorator._profiler, profiler_decorator._EmptyProfiler)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (None, "give a word and a dictionary"),
        ({"word": "a"}, "give a word and a dictionary"),
        ({"word": 1, "dictionary": []}, "give a word and a dictionary"),
        ({"word": "a", "dictionary": ["b", 2]}, "each of its words must be a string"),
    ],
)
def test_a_request_without_words_is_refused(
    event: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = function(monkeypatch, enabled=False)
    with pytest.raises(module.InvalidRequestError, match=message):
        module.handler(event, CONTEXT)


def test_words_are_compared_by_edits() -> None:
    assert [distance("kitten", other) for other in ("kitten", "sitting", "", "kit")] == [0, 3, 6, 3]
    assert nearest("recieve", WORDS) == ["relieve", "believe", "receive"]
    assert nearest("x", []) == []
