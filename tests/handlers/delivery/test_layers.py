"""The bootstrap in C++ against servers that stand for the Runtime API, and its twin in Python."""

from __future__ import annotations

import json
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cdk_lambda_patterns.delivery.layers.compiler import compiled
from tests.handlers.importing import import_handler

SOURCE = Path(__file__).resolve().parents[3] / "lambda_src" / "delivery" / "layers"
NEXT = "GET /2018-06-01/runtime/invocation/next HTTP/1.1"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n" + b'{"status":"OK"}'
END = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
WORDS = {"words": ["recieve", "Zürich", "qqqqqq"]}
CORRECTED = {"corrections": {"recieve": "receive", "Zürich": "Zürich", "qqqqqq": None}}

linux = pytest.mark.skipif(sys.platform != "linux", reason="the program is for Linux")


@pytest.fixture(scope="session")
def program() -> Path:
    """The bootstrap for this machine: compiled by the first test run, and in the cache after that."""
    return compiled(SOURCE / "cpp", platform.machine())


@pytest.fixture(scope="session")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    (folder / "common.txt").write_text("receive\nthe\n\n", "utf-8")
    (folder / "names.txt").write_text("Zürich\r\n  Ölten\n日本語\n", "utf-8")
    (folder / "notes.md").write_text("qqqqqq\n", "utf-8")
    return folder


@dataclass
class Request:
    """What the program sent."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass
class Api:
    """A server that answers each request with the next of its answers, whatever these are.

    Args:
        answers: The bytes of each, in the pieces in which they are sent. ``None`` ends the connection before
            the next request.
    """

    answers: list[Sequence[bytes] | None]
    requests: list[Request] = field(default_factory=list)

    def serve(self, program: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the program until all answers are sent, and it has ended."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(60)
            address = f"127.0.0.1:{server.getsockname()[1]}"
            variables = {"AWS_LAMBDA_RUNTIME_API": address, "_HANDLER": "spelling.correct", **environment}
            with subprocess.Popen(
                [program], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                while self.answers:
                    self._serve_connection(server)
                said = process.communicate(timeout=60)
        return subprocess.CompletedProcess([program], process.returncode, *said)

    def _serve_connection(self, server: socket.socket) -> None:
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as stream:
            while self.answers:
                if self.answers[0] is None:
                    self.answers.pop(0)
                    return
                line = stream.readline().decode().strip()
                if not line:  # the program has closed it
                    return
                head = iter(lambda: stream.readline().decode().strip(), "")
                headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in head)}
                body = stream.read(int(headers.get("content-length", 0)))
                self.requests.append(Request(line, headers, body))
                for piece in self.answers.pop(0) or ():
                    connection.sendall(piece)


def event(body: object = WORDS, *, status: str = "200 OK", **headers: str) -> bytes:
    """An invocation, as the Runtime API sends it."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {
        "Lambda-Runtime-Aws-Request-Id": "id-1",
        "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 60_000),
        "Content-Length": str(len(content)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + content


def chunked(body: bytes, size: int) -> bytes:
    """An invocation in chunks, with what a chunk and the end may have besides."""
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    sent = b"".join(b"%X;name=value\r\n%s\r\n" % (len(one), one) for one in chunks)
    head = event(b"", Content_Length="", Transfer_Encoding="chunked")
    return head + sent + b"0\r\nTrailer: value\r\n\r\n"


def one_by_one(data: bytes) -> list[bytes]:
    return [bytes([one]) for one in data]


@linux
def test_events_are_read_however_the_server_sends_them(program: Path, dictionary: Path) -> None:
    text = json.dumps(WORDS).encode()
    lower = event().replace(b"Lambda-Runtime-Aws-Request-Id", b"lambda-runtime-aws-request-id")
    ways: list[list[Sequence[bytes] | None]] = [
        [[event()]],
        [one_by_one(lower.replace(b"Content-Length: ", b"content-length:   "))],
        [one_by_one(chunked(text, 7))],
        [[event().replace(b"\r\n\r\n", b"\r\n: x\r\nConnection\r\n\r\n")]],  # no headers
        [[b"HTTP/1.1 100 Continue\r\n\r\n" + event()]],
        [[event(Connection="close")], None],
        [None, [event()]],  # closed while it was idle
        [[chunked(json.dumps({"pad": "x" * 6_000_000, **WORDS}).encode(), 65_536)]],
    ]
    answers = [answer for way in ways for answer in (*way, [ACCEPTED])]
    api = Api([*answers, [END]])
    ended = api.serve(program, DICTIONARY=str(dictionary))
    posted = [request for request in api.requests if request.line.startswith("POST")]
    assert [request.json for request in posted] == [CORRECTED] * len(ways)
    assert {request.line for request in posted} == {
        "POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1"
    }
    assert [request.line for request in api.requests].count(NEXT) == len(ways) + 1
    assert ended.returncode == 1
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines[0] == {"level": "INFO", "requestId": "id-1", "message": "corrected 3 words"}
    assert lines[-1]["message"] == "the Runtime API: 500"


@linux
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"nonsense\r\n\r\n", "an answer is no HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "an answer is no HTTP"),
        (event(Content_Length="-1"), "the body of an answer has not the length -1"),
        (event(Content_Length="99999999999999999999"), "has not the length 9999"),
        (event(Content_Length="1000000000"), "has not the length 1000000000"),
        (event()[:-5], "has not the length"),
        (event(b"", Content_Length="", Transfer_Encoding="chunked") + b"zz\r\n", "are no chunks"),
        (event(b"", Content_Length="", Transfer_Encoding="chunked") + b"FFFFFFFFFF\r\n", "are no chunks"),
        (event(b"", Content_Length="", Transfer_Encoding="chunked") + b"2\r\nabc\r\n", "are no chunks"),
        (b"HTTP/1.1 200 OK\r\nName: " + b"x" * 200_000, "the connection was closed"),
        (b"", "the connection was closed"),
    ],
)
def test_an_answer_that_is_no_http_ends_the_environment(
    program: Path, dictionary: Path, answer: bytes, reason: str
) -> None:
    ended = Api([[answer], None]).serve(program, DICTIONARY=str(dictionary))
    assert ended.returncode == 1
    assert reason in json.loads(ended.stdout.splitlines()[-1])["message"]


@linux
def test_a_bad_event_costs_only_its_invocation(program: Path, dictionary: Path) -> None:
    late = str(int(time.time() * 1000) + 50)
    too_large = b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n"
    refused = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nwhy"
    api = Api(
        [
            *([event({"words": 1})], [ACCEPTED]),
            *([event(Lambda_Runtime_Deadline_Ms=late)], [ACCEPTED]),
            *([event()], [too_large], [ACCEPTED]),
            *([event()], [refused]),
            *([event()], [ACCEPTED]),
            [END],
        ]
    )
    ended = api.serve(program, DICTIONARY=str(dictionary))
    errors = [request for request in api.requests if request.line.endswith("/id-1/error HTTP/1.1")]
    assert [request.json["errorType"] for request in errors] == [
        "InvalidEvent",
        "OutOfTime",
        "ResponseTooLarge",
    ]
    assert errors[0].json["errorMessage"] == "words must be an array of strings"
    assert errors[0].json["stackTrace"][0].startswith("spelling.hpp:")
    assert errors[0].headers["lambda-runtime-function-error-type"] == "Function.InvalidEvent"
    assert '"message":"the result was refused: why"' in ended.stdout
    assert api.requests[-2].json == CORRECTED


@linux
@pytest.mark.parametrize(
    ("environment", "kind"),
    [({"_HANDLER": "other"}, "NoSuchHandler"), ({"DICTIONARY": "/nowhere"}, "NoDictionary")],
)
def test_what_keeps_the_function_from_starting_is_reported(
    program: Path, dictionary: Path, environment: dict[str, str], kind: str
) -> None:
    api = Api([[ACCEPTED]])
    assert api.serve(program, **{"DICTIONARY": str(dictionary), **environment}).returncode == 1
    assert api.requests[0].line == "POST /2018-06-01/runtime/init/error HTTP/1.1"
    assert api.requests[0].json["errorType"] == kind
    assert api.requests[0].headers["lambda-runtime-function-error-type"] == f"Function.{kind}"


EVENTS: list[str] = [
    *('{"words": []}', '{"words": ["the", "teh", "th", ""]}', '{"words": ["recieve", "recieve"]}'),
    *('{"words": ["Z\\u00fcrick", "\\u65e5\\u672c", "日本語", "Olten"]}', '{"words": ["\\ud83d\\ude00"]}'),
    *('{"words": ["a\\"b\\\\c\\/\\b\\f\\n\\r\\t\\u0001"]}', '  { "words" : [ "the" , "x" ] , "y" : 1 } '),
    *('{"y": {"a": [1, -2.5e3, true, null, {"b": "}]"}]}, "words": ["the"]}',),
    *("{}", "[]", "null", "3", '"words"', '{"words": "the"}', '{"words": ["the", 1]}', '{"words": null}'),
    *('{"words": ["\\ud800"]}', '{"words": ["\\udc00x"]}', '{"other": "\\ud800", "words": ["the"]}'),
    *('{"words": ["\\ud800\\u0041"]}', '{"words": ["\\ud800\\ud83d\\ude00"]}'),
]


@linux
def test_the_twin_in_python_gives_the_same_answers(program: Path, dictionary: Path) -> None:
    answers: list[Sequence[bytes] | None] = []
    for text in EVENTS:
        answers += [[event(text.encode())], [ACCEPTED]]
    api = Api([*answers, [END]])
    api.serve(program, DICTIONARY=str(dictionary))
    twin = import_handler("delivery.layers.handler", {"DICTIONARY": str(dictionary)})
    posted = [request for request in api.requests if request.line.startswith("POST")]
    for text, request in zip(EVENTS, posted, strict=True):
        if request.line.endswith("/response HTTP/1.1"):
            assert twin.handler(json.loads(text), context()) == request.json, text
        else:
            with pytest.raises(twin.InvalidEvent) as refused:
                twin.handler(json.loads(text), context())
            assert request.json["errorMessage"] == str(refused.value), text
    assert sum(request.line.endswith("/error HTTP/1.1") for request in posted) == 12


def context(remaining: int = 60_000) -> Any:
    """The context of an invocation."""
    return SimpleNamespace(
        get_remaining_time_in_millis=lambda: remaining,
        function_name="twin",
        memory_limit_in_mb=256,
        invoked_function_arn="arn",
        aws_request_id="id-1",
    )


def test_the_twin_says_that_it_has_too_little_time(dictionary: Path) -> None:
    twin = import_handler("delivery.layers.handler", {"DICTIONARY": str(dictionary)})
    with pytest.raises(twin.OutOfTime):
        twin.handler(WORDS, context(remaining=50))


def test_the_twin_does_not_start_without_words(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="has no words: add a layer"):
        import_handler("delivery.layers.handler", {"DICTIONARY": str(tmp_path)})
