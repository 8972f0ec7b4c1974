"""Requests that AWS refuses: the service, operation and parameters, and the error."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localaws import LocalAws

Row = tuple[str, dict[str, Any], str, str]
"""An operation, its parameters, and the code and a part of the text of the error."""


@functools.cache
def client(aws: LocalAws, service: str) -> Any:
    """A client that sends what it is given, unlike an SDK that checks some of it first."""
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    return aws.session.client(service, config=config)


def check(aws: LocalAws, service: str, row: Row) -> None:
    """Send a request, which must be refused as the row says."""
    operation, parameters, code, text = row
    with pytest.raises(ClientError) as raised:
        getattr(client(aws, service), operation)(**parameters)
    error = raised.value.response["Error"]
    assert (error["Code"], text in error["Message"]) == (code, True), error


def ids(rows: list[Row]) -> list[str]:
    """A name for each row."""
    return [f"{operation}-{text[:40]}" for operation, _parameters, _code, text in rows]


def document(**changes: Any) -> str:
    """A policy with one statement; a change to None removes an element."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    kept = {name: value for name, value in {**statement, **changes}.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [kept]})
