"""How a Node.js function failed: the type of the error, its message and its stack trace."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from helpers.lambda_functions import Functions, zipped
from localaws import LocalAws

pytestmark = [pytest.mark.local, pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")]

SOURCE = """
class OvenError extends Error { constructor(text) { super(text); this.name = "OvenError"; } }
const later = async (event) => {
  if (event === "own") throw new OvenError("cold");
  if (event === "text") throw "no more";
  return "fine";
};
exports.handler = (event, context, callback) => {
  if (event === "sync") null.missing;
  if (event === "callback") return callback(new RangeError("too far"));
  return later(event);
};
"""


def make(aws: LocalAws) -> tuple[Functions, str]:
    functions = Functions(aws)
    name = "fails"
    aws.client("lambda").create_function(
        FunctionName=name,
        Role=functions.role(),
        Code={"ZipFile": zipped({"index.js": SOURCE})},
        Runtime="nodejs22.x",
        Handler="index.handler",
        Timeout=10,
    )
    return functions, name


def test_callers_see_the_type_of_an_error(local_aws: LocalAws) -> None:
    functions, name = make(local_aws)

    def failed(event: str) -> Any:
        invoked = functions.invoke(name, event)
        assert invoked.error == "Unhandled"
        return invoked

    own = failed("own")
    assert (own.payload["errorType"], own.payload["errorMessage"]) == ("OvenError", "cold")
    assert own.payload["trace"][0].endswith("Error: cold")
    assert own.payload["trace"][1].startswith("    at later (/var/task/index.js:4:")
    assert "/var/task/index.js:4" in own.log
    assert failed("text").payload == {"errorType": "string", "errorMessage": "no more", "trace": []}
    assert failed("sync").payload["errorType"] == "TypeError"
    assert failed("callback").payload["errorType"] == "RangeError"
    assert functions.invoke(name, "fine").payload == "fine"


def test_the_emulator_still_reports_one_type_for_all(stock_aws: LocalAws) -> None:
    functions, name = make(stock_aws)
    assert functions.invoke(name, "own").payload["errorType"] == "Runtime.HandlerError"
