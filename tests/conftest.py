"""What the tests of templates share: apps that are synthesised once for the whole process."""

import signal

import pytest
from aws_cdk import App

from tasks.synthesis import app_context
from tests.templates import Assembly, Resources, build_variants


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
