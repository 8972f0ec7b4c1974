"""How a Node.js function failed: the type of the error, its message and its stack trace.

The emulator gives every error the type `Runtime.HandlerError`, so that neither a caller nor a `Catch` of Step
Functions can tell one from another, and no stack trace.

Faithful to: the type, which is the name of the error; what is thrown and is no error has its JavaScript type
and no trace; the trace line by line, with the paths of AWS, in the result and in the log.
Not to: the form of the line in the log; errors while the module is loaded, which have the emulator's type.

https://docs.aws.amazon.com/lambda/latest/dg/nodejs-exceptions.html
https://github.com/aws/aws-lambda-nodejs-runtime-interface-client/blob/main/src/Errors.js
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import lambda_svc

from localaws.patching import around

_MARK = "localaws:node-error:"

_REPORT = """
function localawsError(error) {
  const known = error instanceof Error || (error && error.name && error.message && error.stack);
  const trace = known ? String(error.stack).replaceAll(process.env.LAMBDA_TASK_ROOT, "/var/task") : "";
  return {
    status: "error", trace,
    error: "localaws:node-error:" + JSON.stringify({
      errorType: known ? String(error.name) : typeof error,
      errorMessage: known ? String(error.message) : String(error),
      trace: trace ? trace.split("\\n") : [],
    }),
  };
}
"""
_STOCK = (
    """{
            status: "error", error: String(err.message || err), trace: err.stack || ""
          }""",
    """{
        status: "error", error: e.message, trace: e.stack
      }""",
)


def reporting(script: str) -> str:
    """Let the program that runs handlers report the error itself instead of its message."""
    for place, name in zip(_STOCK, ("err", "e"), strict=True):
        if place not in script:
            raise RuntimeError(f"the program for Node.js no longer reports errors as {place}")
        script = script.replace(place, f"localawsError({name})")
    return _REPORT + script


@around(lambda_svc, "_execute_function_warm", after=["lambda_.execution", "lambda_.faults"])
def _execute_function_warm(
    stock: Callable[..., dict[str, Any]], func: dict[str, Any], event: object, request_id: str
) -> dict[str, Any]:
    result = stock(func, event, request_id)
    body = result.get("body")
    message = body.get("errorMessage") if result.get("error") and isinstance(body, dict) else None
    if isinstance(message, str) and message.startswith(_MARK):
        return {**result, "body": json.loads(message.removeprefix(_MARK))}
    return result
