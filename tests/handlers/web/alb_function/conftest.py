"""The handler over notes in memory, in both modes of a target group."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest

from tests.handlers.loading import LoadedHandler
from tests.handlers.web.alb_function.client import Client
from tests.handlers.web.alb_function.memory import NotesInMemory

ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-2",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "POWERTOOLS_SERVICE_NAME": "notes",
    "TABLE_NAME": "notes",
    "INDEX_NAME": "by-time",
}


@pytest.fixture(scope="session")
def loaded(load: Callable[..., LoadedHandler]) -> LoadedHandler:
    """The modules of the handler."""
    return load("web", "alb_function", environment=ENVIRONMENT)


@pytest.fixture(scope="session")
def with_cors(load: Callable[..., LoadedHandler]) -> LoadedHandler:
    """The modules of a handler that pages of two origins may use."""
    origins = "https://a.example https://b.example"
    return load("web", "alb_function", environment={**ENVIRONMENT, "CORS_ORIGINS": origins})


@pytest.fixture
def notes(loaded: LoadedHandler) -> LoadedHandler:
    """The modules of the handler, over no notes."""
    return emptied(loaded)


def emptied(loaded: LoadedHandler) -> LoadedHandler:
    """Give the service of a handler an empty memory, and a clock that ticks at each look."""
    ticks: Iterator[int] = iter(range(1_000_000))
    service: Any = loaded.handler.service
    object.__setattr__(service, "notes", NotesInMemory(loaded))
    object.__setattr__(service, "now", lambda: f"2026-01-01T00:00:00.{next(ticks):06d}Z")
    return loaded


@pytest.fixture(params=[True, False], ids=["multi-value", "single-value"])
def client(notes: LoadedHandler, request: pytest.FixtureRequest) -> Client:
    """A client, behind a target group of each mode."""
    return Client(notes, multi_value=request.param)


@pytest.fixture
def multi(notes: LoadedHandler) -> Client:
    """A client behind a target group with multi-value headers."""
    return Client(notes)


Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log(notes: LoadedHandler, monkeypatch: pytest.MonkeyPatch) -> Log:
    """The lines that the handler logs from here on."""
    stream = StringIO()
    monkeypatch.setattr(notes.handler.logger.registered_handler, "stream", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
