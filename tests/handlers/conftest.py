"""Fixtures for the tests of handlers."""

from collections.abc import Callable, Mapping

import pytest

from tests.handlers.loading import SOURCE, LoadedHandler, load_handler


@pytest.fixture(scope="session")
def load() -> Callable[..., LoadedHandler]:
    """Load a handler by family and id: ``load("storage", "thumbnailer", environment={...})``."""

    def load_by_id(family: str, id: str, *, environment: Mapping[str, str]) -> LoadedHandler:
        return load_handler(SOURCE / family / id.replace("-", "_"), environment)

    return load_by_id
