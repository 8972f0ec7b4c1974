"""The process of a Python execution environment, and the exchange of events and results with it.

`services.lambda_.execution` uses it instead of the emulator's workers.

Faithful to: an environment that stays after an exception, is initialised again after a timeout or an exit,
with what it has in `/tmp`, and is replaced after a change of the function, when its current invocation has
ended; a file system of its own (`engines.namespaces`); time for the initialization in addition to the
function's timeout; all output of an invocation in its log, without waiting for output that may not come.
Not to: freezing between invocations, memory limits, CPU in proportion to memory, extensions. An
initialization of more than ten seconds is not restarted within the timeout of the function: it may take the
time of both.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.engines import namespaces
from localaws.engines.python_runtime.bytecode import compile_wanted, want
from localaws.engines.python_runtime.environment import (
    file_system,
    layer_archives,
    places,
    unpack,
    variables,
)

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")

#: Seconds for importing the handler, in addition to the function's timeout.
INIT_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """The end of an exchange: a line, the end of the process, or a timeout."""

    line: bytes = b""
    log: str = ""
    timed_out: bool = False
    #: Seconds of the initialization, in the first answer after it, and how many the caller has waited for it.
    initialized: float = 0.0
    waited: float = 0.0


class ExecutionEnvironment:
    """A process that runs a version of a function, one invocation at a time.

    The pool of the emulator creates, leases and ends it, and determines the names `config`, `in_use`,
    `last_used`, `_lock`, `_cold`, `_proc`, `_spawn` and `_discard_tmpdir`.
    """

    def __init__(self, func_name: str, config: dict[str, Any], code_zip: bytes) -> None:
        self.func_name = func_name
        self.config = config
        self.code_zip = code_zip
        self.in_use = False
        self.last_used = time.time()
        self.exit_code = 0
        self._lock = threading.Lock()
        self._cold = True
        self._proc: subprocess.Popen[bytes] | None = None
        self._scratch: Path | None = None
        self._joined = namespaces.Joined()
        self._init_log = ""
        self._init_seconds = 0.0
        self._is_new = True
        self._revision = ""
        self._retired = False
        self._lost = False

    def invoke(self, message: dict[str, Any], seconds: float) -> Answer:
        """Call the handler, in a new process if there is none.

        Args:
            message: The event and the rest of the request.
            seconds: The function's timeout.
        """
        with self._lock:
            if self._revision != self.config["RevisionId"] or self._lost:
                self._end()
                self._discard_tmpdir()
                self._lost, self._is_new = False, True
            waited = 0.0
            if self._proc is None or self._proc.poll() is not None:
                failure = self._start(INIT_SECONDS + seconds)
                if failure is not None:
                    return failure
                waited = self._init_seconds
            init_log, self._init_log = self._init_log, ""
            initialized, self._init_seconds = self._init_seconds, 0.0
            message["deadline_ms"] = (time.time() + seconds) * 1000
            answer = self._exchange(json.dumps(message).encode() + b"\n", message["request_id"], seconds)
            if answer.timed_out or not answer.line or self._retired:
                self._end(kill=bool(answer.timed_out or answer.line))
            return Answer(answer.line, init_log + answer.log, answer.timed_out, initialized, waited)

    def retire(self) -> None:
        """End the process after its current invocation."""
        self._retired = True

        def end() -> None:
            with self._lock:
                self._end()
                self._discard_tmpdir()

        threading.Thread(target=end, daemon=True).start()

    def kill(self, *, lost: bool) -> None:
        """Kill the process, whatever it does.

        Args:
            lost: Whether `/tmp` is lost as well.
        """
        self._lost |= lost
        process = self._proc
        if process is not None:
            process.kill()
        self._joined.kill_all()

    def exit_status(self) -> str:
        """How the last process ended, as Lambda reports it."""
        if self.exit_code == 0:
            return "Runtime exited without providing a reason"
        if self.exit_code > 0:
            return f"Runtime exited with error: exit status {self.exit_code}"
        name = (signal.strsignal(-self.exit_code) or "unknown").lower()
        return f"Runtime exited with error: signal: {name}"

    def initialize(self) -> None:
        """Start before the first invocation, if there is no process.

        Raises:
            RuntimeError: The code outside the handler failed, or took too long.
        """
        with self._lock:
            if self._proc is None or self._proc.poll() is not None:
                self._spawn()

    def _spawn(self) -> None:
        """Start before the first invocation, for a SnapStart version."""
        failure = self._start(INIT_SECONDS)
        if failure is not None:
            raise RuntimeError(f"{self.func_name} did not start: {failure.line.decode() or failure.log}")

    def _start(self, seconds: float) -> Answer | None:
        """Start the process and import the handler; returns an answer only after an error."""
        began = time.monotonic()
        self._revision = self.config["RevisionId"]
        task_root, layers = unpack(self.code_zip), unpack(*layer_archives(self.config))
        described = ""
        if namespaces.available():
            compile_wanted(task_root)
            compile_wanted(layers)
            described = file_system(self.config, task_root, layers).described(self._joined.descriptors)
        elif self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="lambda-tmp-"))
        where = places(task_root, layers, self._scratch)
        handler, path = self.config["Handler"], where.import_path()
        self._proc = subprocess.Popen(
            # -S -s: without the packages that are installed on the host.
            [sys.executable, "-S", "-s", "-X", "utf8", BOOTSTRAP, handler, described, *path],
            cwd=task_root,
            env=variables(self.config, where),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=self._joined.descriptors,
        )
        self._cold = False
        answer = self._exchange(b"", "init", seconds)
        if answer.line.startswith(b'{"result"'):
            self._init_log = answer.log
            # After a failure, Lambda counts it as a part of the invocation.
            self._init_seconds = time.monotonic() - began if self._is_new else 0.0
            self._is_new = False
            said = json.loads(answer.line.splitlines()[0])  # a handler that forks says it twice
            for folder, seen in ((task_root, where.task), (layers, where.layers)):
                want(folder, seen, said["compiled"])
            return None
        self._end()
        return answer

    def _exchange(self, request: bytes, mark: str, seconds: float) -> Answer:
        """Send a request, and collect its response and its log up to the final mark."""
        # A reference, because the pool may discard the process meanwhile, which would close its pipes.
        process = self._proc
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        answers, logs = process.stdout.fileno(), process.stderr.fileno()
        received = {answers: bytearray(), logs: bytearray()}
        end = f"\0{mark}\n".encode()
        deadline = time.monotonic() + seconds
        try:
            process.stdin.write(request)
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which reading shows
        timed_out = False
        with selectors.DefaultSelector() as selector:
            for stream in received:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map() and not (received[answers].endswith(b"\n") and end in received[logs]):
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    timed_out = answers in selector.get_map()
                    break
                for key, _ in ready:
                    chunk = os.read(key.fd, 1 << 16)
                    received[key.fd] += chunk
                    if not self._joined.descriptors and self._scratch is None:
                        self._joined.keep(process.pid)  # it has entered them before it writes
                    if not chunk:
                        selector.unregister(key.fd)
                        # The process has ended. Do not wait for a child that keeps the log open.
                        deadline = min(deadline, time.monotonic() + 0.2)
        log = bytes(received[logs]).replace(end, b"").decode(errors="replace")
        # A process that is killed may have written a part of its answer.
        line = bytes(received[answers]).lstrip() if received[answers].endswith(b"\n") else b""
        return Answer(line, log, timed_out)

    def _end(self, kill: bool = True) -> None:
        """End the process, and store its exit code."""
        process, self._proc = self._proc, None
        if process is None:
            return
        try:
            self.exit_code = process.wait(0.0 if kill else 1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            self.exit_code = process.wait()
        self._joined.kill_all()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                with contextlib.suppress(BrokenPipeError):  # it has not read all of the event
                    stream.close()

    def _discard_tmpdir(self) -> None:
        self._joined.close()
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
