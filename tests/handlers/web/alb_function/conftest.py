"""The handler over notes in memory, in both modes of a target group."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from itertools import count
from types import ModuleType
from typing import Any

import pytest

from tests.handlers.importing import import_handler
from tests.handlers.notes.memory import NotesInMemory
from tests.handlers.web.alb_function.client import Client

ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-2",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "POWERTOOLS_SERVICE_NAME": "notes",
    "TABLE_NAME": "notes",
    "INDEX_NAME": "by-time",
}
HANDLER = "web.alb_function.handler"


@pytest.fixture(scope="session")
def function() -> ModuleType:
    """The handler's module."""
    return import_handler(HANDLER, ENVIRONMENT)


def emptied(function: ModuleType) -> ModuleType:
    """Give the service of a handler an empty store, and a clock that advances at each look."""
    ticks = count()
    function.service = replace(  # type: ignore[attr-defined]
        function.service,
        notes=NotesInMemory(),
        now=lambda: f"2026-01-01T00:00:00.{next(ticks):06d}Z",
    )
    return function


@pytest.fixture(params=[True, False], ids=["multi-value", "single-value"])
def client(function: ModuleType, request: pytest.FixtureRequest) -> Client:
    """A client of an empty service, behind a target group of each mode."""
    return Client(emptied(function), multi_value=request.param)


@pytest.fixture
def multi(function: ModuleType) -> Client:
    """A client of an empty service, behind a target group with multi-value headers."""
    return Client(emptied(function))


@pytest.fixture
def single(function: ModuleType) -> Client:
    """A client of an empty service, behind a target group without multi-value headers."""
    return Client(emptied(function), multi_value=False)


Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log(function: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Log:
    """The lines that the handler logs from here on."""
    stream = StringIO()
    monkeypatch.setattr(function.logger.registered_handler, "stream", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
