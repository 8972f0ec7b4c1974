"""Fixtures for the tests of handlers."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, settings

from tests.handlers.loading import SOURCE, LoadedHandler, load_handler

# No test of this project fails because a machine is slow.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def load() -> Callable[..., LoadedHandler]:
    """Load a handler by family and id: ``load("storage", "thumbnailer", environment={...})``."""

    def load_by_id(family: str, id: str, *, environment: Mapping[str, str]) -> LoadedHandler:
        return load_handler(SOURCE / family / id.replace("-", "_"), environment)

    return load_by_id
