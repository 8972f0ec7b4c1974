"""A bootstrap in C++ against its twin in Python, with the same Runtime API: the first answer, and others.

The twin runs with awslambdaric, the client that Lambda's Python has. Each start is a new process; they take
turns. A start is the time until the first answer, and what its CPU did.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import platform
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "lambda_src" / "delivery" / "layers"
EVENT = json.dumps({"words": ["recieve", "definately", "calender", "xylophone"] * 5}).encode()
_STANDARD = (SOURCE / "standard" / "words" / "ordinary.txt").read_text("utf-8")


class Api(http.server.ThreadingHTTPServer):
    """The Runtime API, as far as an invocation needs it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.events: queue.Queue[bytes] = queue.Queue()
        self.answers: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """A process that was ended closes its connection in the middle of a request."""

    def invoke(self) -> Any:
        """Send an event, and return the answer."""
        self.events.put(EVENT)
        return json.loads(self.answers.get(timeout=60))


class _Requests(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536
    server: Api

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """The next event."""
        self._answer(200, self.server.events.get())

    def do_POST(self) -> None:
        """A response."""
        self.server.answers.put(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(202, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "id-1")
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:1:function:f")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 60_000))
        self.send_header("Content-Type", "application/json")  # awslambdaric crashes without it
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        prog="run.py bench custom_runtime", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--rounds", type=int, default=15, help="starts of each (default: 15)")
    parser.add_argument("--calls", type=int, default=200, help="further calls of each start (default: 200)")
    given = parser.parse_args(argv)
    sys.path.insert(0, str(ROOT / "constructs"))
    from cdk_lambda_patterns.delivery.layers.compiler import compiled

    commands = {
        "Python": (
            [sys.executable, "-m", "awslambdaric", "layers.handler.handler"],
            "layers.handler.handler",
        ),
        "C++": ([str(compiled(SOURCE / "cpp", platform.machine()))], "spelling.correct"),
    }
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "words.txt").write_text(_STANDARD, "utf-8")
        for number in range(given.rounds + 1):
            for name, (command, handler) in commands.items():
                seconds = _measure(command, handler, folder, given.calls)
                if number:  # the first round writes the bytecode
                    measured[name].append(seconds)
    _print(measured, given.rounds, given.calls)
    return 0


def _measure(command: list[str], handler: str, folder: str, calls: int) -> tuple[float, float, float]:
    """Seconds until the first answer, of each further call, and of CPU in all."""
    api = Api()
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_REGION": "eu-west-1",
        "PYTHONPATH": str(SOURCE.parent),
        "PATH": os.environ["PATH"],
        "_HANDLER": handler,
        "DICTIONARY": folder,
    }
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    answer = api.invoke()
    first = time.perf_counter() - began
    assert answer["corrections"]["calender"] == "calendar"
    began = time.perf_counter()
    for _ in range(calls):
        api.invoke()
    each = (time.perf_counter() - began) / calls
    process.kill()
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    api.shutdown()
    api.server_close()
    return first, each, used.ru_utime + used.ru_stime


def _print(measured: dict[str, list[tuple[float, float, float]]], rounds: int, calls: int) -> None:
    print(f"medians of {rounds} interleaved starts, with {calls} further calls each, 20 words a call\n")
    print("| | ms to the first answer | ms of each further call | ms of CPU in all |")
    print("|---|---:|---:|---:|")
    medians = {
        name: [statistics.median(one[index] for one in several) for index in range(3)]
        for name, several in measured.items()
    }
    for name, (first, each, used) in medians.items():
        print(f"| {name} | {first * 1000:.1f} | {each * 1000:.3f} | {used * 1000:.0f} |")
    ratios = [python / cpp for python, cpp in zip(medians["Python"], medians["C++"], strict=True)]
    print("| ratio | " + " | ".join(f"{ratio:.1f}" for ratio in ratios) + " |")


if __name__ == "__main__":
    sys.exit(main())
