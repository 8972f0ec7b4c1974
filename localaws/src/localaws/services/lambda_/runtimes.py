"""Node.js functions see the variables of Lambda and of the function, and none of the server.

The emulator passes the environment of its own process on, with the paths of its keys and of its state.

Faithful to: the documented variables of a runtime, as for Python (`engines.python_runtime.environment`).
Durable functions with a custom runtime, which the emulator runs itself, have `AWS_LAMBDA_RUNTIME_API`, and
neither `AWS_EXECUTION_ENV` nor `_X_AMZN_TRACE_ID`.
Not to: the rest of these runtimes, which run as the emulator runs them, with `/opt`, `/tmp` and `/var/task`
of this machine.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from localaws.engines.python_runtime.environment import layer_archives, places, unpack, variables
from localaws.patching import around, changes, replaces

_starting: ContextVar[dict[str, Any] | None] = ContextVar("localaws_starting", default=None)


@replaces(lambda_svc, "_provided_worker_env")
def _provided_worker_env(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
    environment = _variables(config, code_dir)
    del environment["AWS_EXECUTION_ENV"]
    environment["AWS_LAMBDA_RUNTIME_API"] = f"127.0.0.1:{port}"
    environment.update(lambda_svc._durable_env_overlay())
    return environment


class NodeEnvironment(lambda_runtime.Worker):  # type: ignore[misc]
    """A process of Node.js, whose function `_popen` knows."""

    def _spawn(self) -> None:
        token = _starting.set(self.config)
        try:
            super()._spawn()
        finally:
            _starting.reset(token)


@around(lambda_runtime, "_worker_class_for", after=["lambda_.execution"])
def _worker_class_for(stock: Callable[..., Any], config: dict[str, Any]) -> Any:
    found = stock(config)
    return NodeEnvironment if found is lambda_runtime.Worker else found


@changes(lambda_runtime, "subprocess")
def _subprocess(stock: ModuleType) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(stock), "Popen": _popen})


def _popen(command: list[str], **settings: Any) -> subprocess.Popen[Any]:
    config = _starting.get()
    if config is not None:
        # What the worker's script reads besides.
        own = {
            name: value
            for name, value in settings["env"].items()
            if name.startswith("_LAMBDA_") or name == "NODE_PATH"
        }
        settings["env"] = _variables(config, settings["cwd"]) | own
    return subprocess.Popen(command, **settings)


def _variables(config: dict[str, Any], code: str) -> dict[str, str]:
    layers, scratch = unpack(*layer_archives(config)), Path(tempfile.mkdtemp(prefix="lambda-tmp-"))
    return variables(config, places(Path(code), layers, scratch)) | {"LAMBDA_RUNTIME_DIR": code}
