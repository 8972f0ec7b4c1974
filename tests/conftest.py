"""What tests share: apps that are synthesised once a process, and rows deployed on the embedded AWS."""

import signal

import pytest
from aws_cdk import App

from stacks.catalogue import ARCHITECTURES
from tasks.synthesis import app_context
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
from tests.templates import Assembly, Resources, build_variants

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


def pytest_configure() -> None:
    """Hear ctrl-C also where a shell runs the tests in the background, and so do the programs they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Resources]:
    """The resources of each stack that a test module declared with ``stack_with``, from one synthesis."""
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
    from tests.stacks.synthesis import synthesise_catalogue

    return synthesise_catalogue(app_context(), tmp_path_factory.mktemp("catalogue"))
