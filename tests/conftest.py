"""What tests share: apps that are synthesised once a process, and rows deployed on the embedded AWS."""

from __future__ import annotations

import functools
import gc
import signal
import sys
from typing import TYPE_CHECKING

import botocore.session
import pytest

from stacks.catalogue import ARCHITECTURES
from tests.deployed import (
    deployments,
    drilled,
    empty_aws,
    faults,
    local_aws,
    order_by_row,
    outcome,
    row_of,
    stack,
)

# Collecting the tests makes very many objects that stay, and looking among them for garbage took
# half of the time. See `pytest_collection_finish`.
gc.disable()

# Handlers and scenarios make their clients anew for each test, in new sessions, which would read the model of
# each service anew, too: that is four fifths of the time to make a client.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# The CDK is imported where it is needed: it starts Node, and tests of deployed stacks do without.
if TYPE_CHECKING:
    from tests.templates import Assembly, Resources

# Fixtures.
__all__ = ["deployments", "drilled", "empty_aws", "faults", "local_aws", "outcome", "stack"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option by which a person, or a lane of the checks, runs the tests of some rows only."""
    known = ",".join(row.id for row in ARCHITECTURES)
    parser.addoption("--rows", help=f"run only the tests of these rows: {known}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Group the tests on the embedded AWS by row; leave out what ``--rows`` does not name."""
    order_by_row(items)
    if wanted := config.getoption("--rows"):
        ids = set(wanted.split(","))
        if unknown := ids - {row.id for row in ARCHITECTURES}:
            raise pytest.UsageError(f"--rows: no such row: {', '.join(sorted(unknown))}")
        chosen = [item for item in items if (row := row_of(item)) and row.id in ids]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def pytest_collection_finish() -> None:
    """Look for garbage from now on, but not among the modules and tests, and not as often as Python does."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    gc.enable()


def pytest_configure() -> None:
    """Hear ctrl-C also where a shell runs the tests in the background, and so do the programs they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Spare the plugin of Hypothesis its summary, for which it imports Hypothesis, if no test uses it."""
    if "hypothesis" not in sys.modules:
        session.config.pluginmanager.unregister(name="hypothesispytest")


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Resources]:
    """The resources of each stack that a test module declared with ``stack_with``, from one synthesis."""
    from aws_cdk import App

    from tasks.synthesis import app_context
    from tests.templates import Assembly, build_variants

    app = App(
        context=app_context(),
        outdir=str(tmp_path_factory.mktemp("variants")),
        # Run once, over the catalogue: it costs seconds.
        builtin_cloud_formation_validation=False,
    )
    build_variants(app)
    return Assembly.of(app.synth()).stacks


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """Every stack of the catalogue with the findings of the CDK's own validation and of cdk-nag."""
    from tasks.synthesis import app_context
    from tests.stacks.synthesis import synthesise_catalogue

    return synthesise_catalogue(app_context(), tmp_path_factory.mktemp("catalogue"))
