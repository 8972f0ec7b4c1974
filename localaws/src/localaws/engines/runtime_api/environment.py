"""An execution environment whose processes speak the Runtime API, from its start to its end.

Faithful to: extensions register before the runtime starts; an initialization of at most ten seconds, which is
done again within the timeout of the first invocation if it failed or took longer; the errors of a runtime
that does not start, reports an error, ends or takes too long, and of extensions that end, with their types
and texts; the variables that extensions do not get; an answer that does not wait for extensions, and an
environment that is free when all of them wait for the next event; SHUTDOWN with its reason, and two seconds
for extensions to end; a reset after a failure, which keeps `/tmp`; the lines about extensions and telemetry
in the log, and what the processes write, also after the answer.
Not to: freezing: processes go on between invocations. When an idle environment ends is up to the emulator. A
reset and the end of the server kill environments without SHUTDOWN.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from localaws.engines import namespaces
from localaws.engines.runtime_api import programs
from localaws.engines.runtime_api.images import NoEntryPoint
from localaws.engines.runtime_api.output import Output
from localaws.engines.runtime_api.sandbox import Fault, Invocation, Sandbox
from localaws.engines.runtime_api.server import ApiServer
from localaws.engines.runtime_api.telemetry import Telemetry
from localaws.services.lambda_ import log_lines

#: Seconds of an initialization, and those that extensions have to end.
INIT_SECONDS, SHUTDOWN_SECONDS = 10.0, 2.0

_RUNTIME = "runtime"

#: What only the runtime has of the variables that Lambda sets.
NOT_FOR_EXTENSIONS = frozenset(
    {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
    }
)

Result = dict[str, Any]
Lines = list[str]


class ApiEnvironment:
    """An environment, which runs one invocation at a time.

    The pool of the emulator creates, leases and ends it, and determines the names `config`, `in_use`,
    `last_used`, `_lock`, `_cold`, `_proc`, `_spawn` and `_discard_tmpdir`.
    """

    def __init__(self, func_name: str, config: dict[str, Any], code_zip: bytes) -> None:
        self.func_name = func_name
        self.config = config
        self.code_zip = code_zip
        self.in_use = False
        self.last_used = time.time()
        self._lock = threading.RLock()
        self._cold = True
        self._proc: subprocess.Popen[bytes] | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._outputs: list[Output] = []
        self._sandbox: Sandbox | None = None
        self._server: ApiServer | None = None
        self._telemetry: Telemetry | None = None
        self._joined = namespaces.Joined()
        self._scratch: Path | None = None
        self._stream = ""  # the name of its log stream
        self._writing = threading.Lock()
        self._lines: Lines | None = None  # of the initialization or the invocation that runs
        self._revision = ""
        self._free = threading.Event()
        self._free.set()
        # Each environment has an address of the loopback network for what Lambda calls `sandbox`.
        self._address = (
            f"127.{64 + secrets.randbelow(63)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        )

    # -- an invocation

    def invoke(self, invocation: Invocation, seconds: float) -> Result:
        """Run an invocation; returns the result in the emulator's form, and the `payload` of the runtime.

        The environment is free afterwards, unless extensions go on, or it has to end: see `release`.

        Args:
            invocation: The invocation.
            seconds: The timeout of the function.
        """
        with self._lock:
            self._free.clear()
            if self._revision != self.config["RevisionId"]:
                self._end("spindown")
                self._discard_tmpdir()
            if self._sandbox is not None and self._sandbox.fault:
                self._end("failure")
            earlier = self._lines = self._lines or []  # those of an initialization in advance
            fault = None
            if self._sandbox is None:
                fault = self._initialize("init", time.time() + INIT_SECONDS)
            invocation.deadline = time.time() + seconds
            if fault:
                fault = self._initialize("invoke", invocation.deadline)
            result = self._run(invocation, fault, seconds)
            with self._writing:
                self._lines = None
            return {**result, "log": "".join(f"{line}\n" for line in earlier)}

    def _run(self, invocation: Invocation, fault: Fault | None, seconds: float) -> Result:
        sandbox, telemetry = self._sandbox, self._telemetry
        invocation.began = time.time()
        if not fault and sandbox and telemetry:
            version = self.config["Version"]
            tracing = {
                "type": "X-Amzn-Trace-Id",
                "value": invocation.headers.get("Lambda-Runtime-Trace-Id", ""),
            }
            said = {"requestId": invocation.request_id, "version": version, "tracing": tracing}
            telemetry.publish("platform.start", said)
            sandbox.begin(invocation)
            sandbox.wait(lambda: invocation.answer is not None, invocation.deadline)
            self._drain()
            fault = None if invocation.answer is not None else sandbox.fault
        if invocation.answer is None:
            fault = fault or Fault("Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds")
            return self._failed(invocation, fault)
        status = "error" if invocation.failed else "success"
        self._done(invocation, status)
        found = _read(invocation.answer)
        if invocation.failed:
            found |= {"error": True, "function_error": "Unhandled"}
        return found

    def _failed(self, invocation: Invocation, fault: Fault) -> Result:
        timed_out = fault.kind == "Sandbox.Timedout"
        self._done(invocation, "timeout" if timed_out else "failure", fault)
        said: Any = {
            "errorType": fault.kind,
            "errorMessage": f"RequestId: {invocation.request_id} Error: {fault.reason}",
        }
        found: Result = {"body": said}
        if fault.payload is not None:
            reported = _read(fault.payload)
            found = found if "raw_payload" in reported else reported
        elif self._lines is not None:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z ", time.gmtime()) if timed_out else "RequestId: "
            text = fault.reason if timed_out else f"Error: {fault.reason}\n{fault.kind}"
            self._lines.append(f"{stamp}{invocation.request_id} {text}")
        return {**found, "error": True, "function_error": "Unhandled"}

    def _done(self, invocation: Invocation, status: str, fault: Fault | None = None) -> None:
        if self._telemetry:
            said: Result = {"requestId": invocation.request_id, "status": status}
            if fault:
                said["errorType"] = fault.kind
            said["metrics"] = {"durationMs": round((time.time() - invocation.began) * 1000, 3)}
            self._telemetry.publish("platform.runtimeDone", said)

    def release(
        self, invocation: Invocation, free: Callable[[], None], meanwhile: AbstractContextManager[None]
    ) -> None:
        """Let the environment have the next invocation, as soon as it can.

        Args:
            invocation: The last one.
            free: Called then.
            meanwhile: Entered if that is later.
        """
        sandbox = self._sandbox

        def finish() -> None:
            if sandbox is not None:
                answered = invocation.answer is not None
                if answered and sandbox.extensions:
                    answered = sandbox.wait(sandbox.ready, invocation.deadline)
                if sandbox.fault and invocation.answer is not None:
                    said = f"RequestId: {invocation.request_id} Error: {sandbox.fault.reason}"
                    log_lines.write(self.config, self._stream, [f"{said}\n{sandbox.fault.kind}"])
                self._report(invocation)
                if sandbox.fault or not answered:
                    with self._lock:
                        self._end("failure" if sandbox.fault else "timeout")
            self._free.set()
            free()

        if sandbox is None or not sandbox.extensions:
            finish()
            return
        meanwhile.__enter__()

        def finish_later() -> None:
            try:
                finish()
            finally:
                meanwhile.__exit__(None, None, None)

        threading.Thread(target=finish_later, daemon=True).start()

    def _report(self, invocation: Invocation) -> None:
        if self._telemetry:
            most = float(self.config["Timeout"]) * 1000
            spent = min(max(0.0, (time.time() - invocation.deadline) * 1000 + most), most)
            metrics = {
                "durationMs": round(spent, 3),
                "billedDurationMs": int(-(-spent // 1)),
                "memorySizeMB": int(self.config["MemorySize"]),
            }
            status = "timeout" if invocation.answer is None else "error" if invocation.failed else "success"
            said = {"requestId": invocation.request_id, "status": status, "metrics": metrics}
            self._telemetry.publish("platform.report", said)

    # -- the start

    def _spawn(self) -> None:
        """Start before the first invocation, for a SnapStart version."""
        self._lines = []
        fault = self._initialize("init", time.time() + INIT_SECONDS)
        if fault is not None:
            raise RuntimeError(f"{self.func_name} did not start: {fault.kind}: {fault.reason}")

    def _initialize(self, phase: str, deadline: float) -> Fault | None:
        """Start the extensions and the runtime, and wait for all of them; returns what went wrong."""
        self._revision, began = self.config["RevisionId"], time.time()
        if self._scratch is None and not namespaces.available():
            self._scratch = Path(tempfile.mkdtemp(prefix="lambda-tmp-"))
        try:
            started = programs.of(self.config, self.code_zip, self._scratch)
        except NoEntryPoint as error:
            return Fault("Runtime.InvalidEntrypoint", str(error))
        self._stream = started.variables["AWS_LAMBDA_LOG_STREAM_NAME"]
        function = {
            "functionName": self.config["FunctionName"],
            "functionVersion": self.config["Version"],
            "handler": started.variables["_HANDLER"],
            "accountId": self.config["FunctionArn"].split(":")[4],
        }
        sandbox = Sandbox(function, [Path(one).name for one in started.extensions])
        telemetry = Telemetry(self._address if started.system else "127.0.0.1")
        self._sandbox, self._telemetry = sandbox, telemetry
        self._server = ApiServer(sandbox, telemetry)
        initialization = {
            "initializationType": started.variables["AWS_LAMBDA_INITIALIZATION_TYPE"],
            "phase": phase,
            "functionName": function["functionName"],
            "functionVersion": function["functionVersion"],
            "instanceId": self._stream,
            "instanceMaxMemory": int(self.config["MemorySize"]) << 20,
        }
        telemetry.publish("platform.initStart", initialization)
        fault = self._start(started, sandbox, deadline)
        self._drain()
        milliseconds = round((time.time() - began) * 1000, 3)
        assert self._lines is not None
        for name, types in telemetry.subscribed:
            wanted = ", ".join(map(str.title, types))
            self._lines.append(f"TELEMETRY\tName: {name}\tState: Subscribed\tTypes: [{wanted}]")
        for one in sandbox.extensions.values():
            state = {
                "name": one.name,
                "state": "Ready" if one.ready else "Started",
                "events": list(one.events),
            }
            telemetry.publish("platform.extension", state)
            events = ", ".join(one.events)
            self._lines.append(f"EXTENSION\tName: {one.name}\tState: {state['state']}\tEvents: [{events}]")
        kept = {name: initialization[name] for name in ("initializationType", "phase")}
        kept["status"] = (
            "success" if fault is None else "timeout" if fault.kind == "Sandbox.Timedout" else "error"
        )
        if fault is not None:
            kept["errorType"] = fault.kind
            text = (
                f"INIT_REPORT Init Duration: {milliseconds:.2f} ms\tPhase: {phase}\tStatus: {kept['status']}"
            )
            self._lines.append(text + ("" if kept["status"] == "timeout" else f"\tError Type: {fault.kind}"))
        telemetry.publish("platform.initRuntimeDone", kept)
        telemetry.publish("platform.initReport", {**kept, "metrics": {"durationMs": milliseconds}})
        telemetry.initialized()
        self._cold = False
        if fault is not None:
            self._end("failure")
        return fault

    def _start(self, started: programs.Programs, sandbox: Sandbox, deadline: float) -> Fault | None:
        late = Fault("Sandbox.Timedout", f"Task timed out after {float(self.config['Timeout']):.2f} seconds")
        assert self._server is not None
        started.variables["AWS_LAMBDA_RUNTIME_API"] = self._server.address
        for path in started.extensions:
            error = self._launch(started, Path(path).name, (path,), "extension")
            if error:
                return Fault("Extension.LaunchError", error)
        if not sandbox.wait(sandbox.registered, deadline):
            return late
        if not sandbox.fault:
            error = self._launch(started, _RUNTIME, started.runtime, "function")
            if error:
                return Fault("Runtime.InvalidEntrypoint", error)
            if not sandbox.wait(sandbox.ready, deadline):
                return late
        return sandbox.fault

    def _launch(self, started: programs.Programs, name: str, command: tuple[str, ...], kind: str) -> str:
        """Start a process; returns why it could not be started."""
        reports, reporting = os.pipe()
        output, writes = os.pipe()
        joined, arguments = self._joined.descriptors, list(command)
        hidden = NOT_FOR_EXTENSIONS if kind == "extension" else ()
        if started.system is not None:
            system = started.system
            if started.extensions:
                system = replace(system, files={**system.files, "/etc/hosts": self._hosts()})
            arguments = system.command(*command, joined=joined, reports=reporting)
        try:
            process = subprocess.Popen(
                arguments,
                cwd=started.folder,
                env={name: value for name, value in started.variables.items() if name not in hidden},
                stdin=subprocess.DEVNULL,
                stdout=writes,
                stderr=writes,
                pass_fds=[*joined, reporting] if started.system else (),
            )
        except OSError as error:
            os.close(output)
            return f"fork/exec {command[0]}: {(error.strerror or '').lower()}"
        finally:
            os.close(reporting)
            os.close(writes)
            if started.system is None:
                os.close(reports)
        self._outputs.append(Output(output, lambda line: self._take(kind, line)))
        error_text = ""
        if started.system is not None:
            with os.fdopen(reports, "rb") as reading:  # which ends when the program starts
                error_text = reading.read().decode()
            if not joined:
                self._joined.keep(process.pid)
        if error_text:
            process.wait()
            return f"fork/exec {command[0]}: {error_text}"
        self._processes[name] = process
        if name == _RUNTIME:
            self._proc = process
        sandbox = self._sandbox
        assert sandbox is not None
        threading.Thread(target=_watch, args=(process, name, sandbox), daemon=True).start()
        return ""

    def _hosts(self) -> Path:
        """A file like `/etc/hosts`, with the names that extensions have for their environment."""
        file = Path(tempfile.gettempdir(), f"lambda-hosts-{self._address}")
        if not file.exists():
            names = f"{self._address} sandbox.localdomain sandbox\n"
            file.write_text(names + Path("/etc/hosts").read_text("utf-8"), "utf-8")
        return file

    # -- what processes write

    def _take(self, kind: str, line: str) -> None:
        if self._telemetry:
            record: Any = line
            if line.startswith("{") and (self.config.get("LoggingConfig") or {}).get("LogFormat") == "JSON":
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
            self._telemetry.publish(kind, record)
        with self._writing:
            if self._lines is not None:
                self._lines.append(line)
                return
        log_lines.write(self.config, self._stream, [line])

    def _drain(self) -> None:
        for one in self._outputs:
            one.drain()

    # -- the end

    def retire(self) -> None:
        """End after the current invocation, with time for extensions."""

        def end() -> None:
            self._free.wait()
            with self._lock:
                self._end("spindown")
                self._discard_tmpdir()

        threading.Thread(target=end, daemon=True).start()

    def kill(self) -> None:
        """End now."""
        for process in list(self._processes.values()):
            process.kill()
        self._close()
        self._discard_tmpdir()

    def _end(self, reason: str) -> None:
        """End all processes; external extensions learn why, and have two seconds."""
        sandbox, telemetry = self._sandbox, self._telemetry
        runtime = self._processes.get(_RUNTIME)
        others = [process for name, process in self._processes.items() if name != _RUNTIME]
        if sandbox and telemetry and any("SHUTDOWN" in one.events for one in sandbox.extensions.values()):
            deadline = time.time() + SHUTDOWN_SECONDS
            if runtime:
                runtime.terminate()
            telemetry.flush()
            sandbox.shut_down(reason, deadline)
            for process in others:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.time()))
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._joined.kill_all()
        self._drain()
        self._close()

    def _close(self) -> None:
        for part in (self._server, self._telemetry):
            if part:
                part.close()
        if self._sandbox:
            self._sandbox.end()
        self._sandbox = self._server = self._telemetry = self._proc = None
        self._processes, self._outputs = {}, []

    def _discard_tmpdir(self) -> None:
        self._joined.close()
        Path(tempfile.gettempdir(), f"lambda-hosts-{self._address}").unlink(missing_ok=True)
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _read(payload: bytes) -> Result:
    """What a runtime has sent, in the emulator's form: parsed if it is JSON, and as it is."""
    text = payload.decode(errors="replace")
    try:
        return {"body": json.loads(text), "payload": payload}
    except (ValueError, RecursionError):
        return {"body": text, "payload": payload, "raw_payload": True}


def _watch(process: subprocess.Popen[bytes], name: str, sandbox: Sandbox) -> None:
    """Wait for the end of a process, which is the end of its environment."""
    code = process.wait()
    ended = f"exit status {code}" if code >= 0 else f"signal: {(signal.strsignal(-code) or '?').lower()}"
    if name == _RUNTIME:
        text = f"Runtime exited with error: {ended}" if code else "Runtime exited without providing a reason"
        sandbox.fail(Fault("Runtime.ExitError", text))
    else:
        said = next((one.error for one in sandbox.extensions.values() if one.name == name), "")
        sandbox.fail(Fault(said or "Extension.Crash", ended if code else "exit code 0"))
