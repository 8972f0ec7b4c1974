"""Functions that fail, in place of those of a stack."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scenarios.framework import DeployedStack

#: What the names of these functions begin with.
PREFIX = "broken-"


def archive(source: str) -> bytes:
    """Return the code of a function whose handler is ``index.handler``."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        files.writestr("index.py", source)
    return packed.getvalue()


@contextmanager
def made_like(stack: DeployedStack, function: str, source: str) -> Iterator[dict[str, Any]]:
    """Make a function with the role and the log of another one, a timeout of a second, and other code.

    Args:
        stack: The deployed stack.
        function: The name of the other function.
        source: The code.
    """
    client = stack.client("lambda")
    like = client.get_function_configuration(FunctionName=function)
    made: dict[str, Any] = client.create_function(
        FunctionName=f"{PREFIX}{uuid.uuid4().hex[:8]}",
        Role=like["Role"],
        Runtime=like["Runtime"],
        Handler="index.handler",
        Code={"ZipFile": archive(source)},
        Timeout=1,
        LoggingConfig={"LogGroup": like["LoggingConfig"]["LogGroup"]},
    )
    try:
        client.get_waiter("function_active_v2").wait(FunctionName=made["FunctionName"])
        yield made
    finally:
        client.delete_function(FunctionName=made["FunctionName"])
