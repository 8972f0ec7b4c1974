"""The program of a Python execution environment: imports the handler once and calls it for each event.

`process` starts it as `python -S bootstrap.py HANDLER FILE_SYSTEM TASK_ROOT FOLDER…`. It is not imported.
It needs only the standard library and imports little of it, because every import is part of each cold
start. Requests are lines of JSON on standard input, and responses lines of JSON on standard output. The
handler gets neither: its output, and that of its child processes, goes to standard error, where a mark
after each invocation shows that the log of that invocation is complete.

Faithful to: the order of the import path, the context object, the form of errors (type, message, request id,
stack trace), the errors of the runtime itself, the root logger's format as text and as JSON. Python 3.12 and
later return JSON that is not escaped, so a lone surrogate in a result ends the process: `Runtime.ExitError`.
Not to: tenant isolation, client context, Cognito identity, SnapStart hooks, wrapper scripts, response
streaming.

https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html
https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
https://github.com/aws/aws-lambda-python-runtime-interface-client/blob/main/awslambdaric/lambda_runtime_client.py
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import sys
import time
from importlib.machinery import SourceFileLoader
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Handler = Callable[[Any, "LambdaContext"], Any]

#: The folder of the code in AWS, which replaces the actual one in stack traces.
TASK_ROOT = "/var/task"

#: The files of the modules of the code that have been compiled.
compiled: list[str] = []


class LambdaRuntimeError(Exception):
    """An error of the runtime, with a type that is not a Python class."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class LambdaContext:
    """The second argument of a handler."""

    def __init__(self, invocation: dict[str, Any]) -> None:
        self.aws_request_id: str = invocation["request_id"]
        self.invoked_function_arn: str = invocation["function_arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = None
        self.tenant_id = None
        self._deadline_ms: float = invocation["deadline_ms"]

    def get_remaining_time_in_millis(self) -> int:
        """The remaining time of the invocation."""
        return max(0, int(self._deadline_ms - time.time() * 1000))

    def log(self, message: object) -> None:
        """Write a line without a prefix."""
        print(message)


class LogHandler(logging.Handler):
    """The handler of the root logger in Lambda."""

    request_id = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as text or as a line of JSON."""
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        if logs_are_json():
            line = {
                "timestamp": f"{stamp}Z",
                "level": record.levelname,
                "message": message,
                "logger": record.name,
                "requestId": self.request_id,
            }
            print(json.dumps(line, default=str))
        else:
            print(f"[{record.levelname}]\t{stamp}.{int(record.msecs):03d}Z\t{self.request_id}\t{message}")


def logs_are_json() -> bool:
    """Whether the log format of the function is JSON."""
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"


def load(handler: str) -> Handler:
    """Import the handler, `module.function`."""
    module_name, _, function_name = handler.rpartition(".")
    if not module_name:
        raise LambdaRuntimeError(
            "MalformedHandlerName", f"Bad handler '{handler}': it must be MODULE.FUNCTION"
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise LambdaRuntimeError("ImportModuleError", message) from error
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        raise LambdaRuntimeError("UserCodeSyntaxError", message) from error
    function: Handler | None = getattr(module, function_name, None)
    if function is None:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise LambdaRuntimeError("HandlerNotFound", message)
    return function


def describe(error: Exception, request_id: str) -> dict[str, Any]:
    """Log an error as Lambda does, and return it in the form for callers."""
    kind = f"Runtime.{error.kind}" if isinstance(error, LambdaRuntimeError) else type(error).__name__
    frames = [] if isinstance(error, LambdaRuntimeError) else stack_of(error.__traceback__)
    report = {"errorMessage": str(error), "errorType": kind, "requestId": request_id, "stackTrace": frames}
    if logs_are_json():
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(json.dumps({"timestamp": stamp, "log_level": "ERROR", **report}))
    else:
        trace = "Traceback (most recent call last):\n" + "".join(frames) if frames else ""
        print(f"[ERROR] {kind}: {error}\n{trace}".rstrip("\n"))
    return report


def stack_of(trace: TracebackType | None) -> list[str]:
    """The stack below the frame of this program, with the paths of AWS."""
    import traceback  # imported only after an error

    lines = traceback.format_list(traceback.extract_tb(trace)[1:])
    return [line.replace(sys.argv[3], TASK_ROOT) for line in lines]


def unmarshal(event: str) -> object:
    """The event that a function gets."""
    try:
        return json.loads(event)
    except Exception as error:  # it is nested too deeply
        raise LambdaRuntimeError("UnmarshalError", f"Unable to unmarshal input: {error}") from error


def marshal(result: object) -> str:
    """The result of the handler as JSON in Unicode; a Decimal becomes a float, as in Lambda."""

    def otherwise(value: Any) -> float:
        if type(value).__name__ == "Decimal":
            return float(value)
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

    try:
        return json.dumps(result, default=otherwise, ensure_ascii=False)
    except Exception as error:
        raise LambdaRuntimeError("MarshalError", f"Unable to marshal response: {error}") from error


def handle(function: Handler, message: dict[str, Any]) -> str:
    """Call the handler with an event, and return the result or the error as a line of JSON."""
    context = LambdaContext(message)
    changing: dict[str, str] = message["environment"]
    LogHandler.request_id = context.aws_request_id
    os.environ.update(changing)
    try:
        return f'{{"result": {marshal(function(unmarshal(message["event"]), context))}}}'
    except Exception as error:
        return json.dumps({"error": describe(error, context.aws_request_id)}, ensure_ascii=False)
    finally:
        for name in changing:
            os.environ.pop(name, None)


def enter_file_system() -> None:
    """Move into the file system of the environment, where the code can only be read.

    The modules that Python compiles cannot be kept there; `compiled` has them for the server, which does it.
    """
    importlib.import_module("enter").enter(json.loads(sys.argv[2]))  # a program of `engines.namespaces`
    store = SourceFileLoader.set_data

    def set_data(self: SourceFileLoader, path: str, data: Any, **settings: Any) -> None:
        if path.startswith((f"{TASK_ROOT}/", "/opt/")):
            compiled.append(path)
        else:
            store(self, path, data, **settings)

    SourceFileLoader.set_data = set_data  # type: ignore[method-assign]
    sys.executable = "/var/lang/bin/python3"


def lead_programs_to(layers: str) -> None:
    """Start programs of layers, which handlers name by their path in `/opt`, from the folder of the layers.

    The runtime's interpreter, `/var/lang/bin/python`, in the first line of such a script is this Python.
    """
    import _posixsubprocess  # a part of the interpreter; `subprocess` has not been imported yet

    start = _posixsubprocess.fork_exec

    def fork_exec(arguments: list[bytes], programs: tuple[bytes, ...], *rest: Any) -> int:
        program = os.fsdecode(programs[0])
        if program.startswith("/opt/"):
            program = layers + program.removeprefix("/opt")
            programs = (os.fsencode(program),)
            with contextlib.suppress(OSError), open(program, "rb") as file:  # noqa: PTH123 (imports little)
                if file.readline().startswith(b"#!/var/lang/bin/python"):
                    arguments = [os.fsencode(sys.executable), b"-S", b"-s", programs[0], *arguments[1:]]
                    programs = (arguments[0],)
        return int(start(arguments, programs, *rest))

    _posixsubprocess.fork_exec = fork_exec  # type: ignore[assignment]


def main() -> None:
    """Import the handler, report it, and serve until standard input ends."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]

    own = os.getpid()

    def answer(line: str, mark: str) -> None:
        if os.getpid() != own:  # a child of the handler has returned, too
            os._exit(1)
        content = line.encode() + b"\n"  # a lone surrogate ends the process, as it ends that of AWS
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:  # by the handler
                stream.flush()
        os.write(2, f"\0{mark}\n".encode())
        answers.write(content)

    answers.write(b" ")  # before the function's code runs, so that the processes it starts can be found
    logging.getLogger().addHandler(LogHandler())
    logging.getLogger().setLevel(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "WARNING"))
    try:
        function = load(sys.argv[1])
    except Exception as error:
        answer(json.dumps({"error": describe(error, "")}), "init")
        sys.exit(1)
    answer(json.dumps({"result": "ready", "compiled": compiled}), "init")
    for line in requests:
        message = json.loads(line)
        answer(handle(function, message), message["request_id"])


if __name__ == "__main__":
    # Python has put the folder of this program first on the path. The function's code belongs there.
    if sys.argv[2]:
        sys.path[0] = sys.path[0].replace("python_runtime", "namespaces")
        enter_file_system()
    else:
        lead_programs_to(sys.argv[5].removesuffix("/python"))
    sys.path[0:1] = sys.argv[3:]
    main()
