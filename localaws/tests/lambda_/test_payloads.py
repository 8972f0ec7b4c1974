"""The limits of what a function is sent and returns."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions

pytestmark = pytest.mark.local

MB = 1024 * 1024
SIZED = "def handler(event, context): return 'x' * event if isinstance(event, int) else len(event)"


@pytest.fixture
def name(functions: Functions) -> str:
    return functions.make(SIZED)


@pytest.mark.parametrize(
    ("size", "kind", "message"),
    [
        (
            6 * MB + 1,
            "RequestResponse",
            "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
        ),
        (
            MB + 1,
            "Event",
            "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)",
        ),
    ],
)
def test_a_payload_beyond_the_limit_is_refused(
    functions: Functions, name: str, size: int, kind: str, message: str
) -> None:
    client = functions.aws.client("lambda")
    with pytest.raises(ClientError) as raised:
        client.invoke(FunctionName=name, InvocationType=kind, Payload=json.dumps("x" * (size - 2)))
    assert raised.value.response["Error"]["Code"] == "RequestEntityTooLargeException"
    assert raised.value.response["Error"]["Message"] == message
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    largest = client.invoke(FunctionName=name, InvocationType=kind, Payload=json.dumps("x" * (size - 3)))
    assert largest["StatusCode"] == {"Event": 202}.get(kind, 200)


@pytest.mark.parametrize("payload", [b"hello", b"not json", b"{", b'{"a": NaN}', b"Infinity", b"\xff"])
@pytest.mark.parametrize("kind", ["RequestResponse", "Event"])
def test_a_payload_that_is_not_json_is_refused(
    functions: Functions, name: str, payload: bytes, kind: str
) -> None:
    client = functions.aws.client("lambda")
    with pytest.raises(ClientError, match="Could not parse request body into json") as raised:
        client.invoke(FunctionName=name, InvocationType=kind, Payload=payload)
    assert raised.value.response["Error"]["Code"] == "InvalidRequestContentException"
    assert client.invoke(FunctionName=name)["StatusCode"] == 200


def test_a_response_beyond_the_limit_is_a_function_error(functions: Functions, name: str) -> None:
    assert functions.invoke(name, 6 * MB).error is None
    answer = functions.invoke(name, 6 * MB + 200)
    assert answer.error == "Unhandled"
    assert answer.payload == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }
