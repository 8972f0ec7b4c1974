"""What the tests share: one embedded AWS with our additions, one without, both emptied before each module."""

from __future__ import annotations

import gc
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.lambda_functions import Functions, Hold
from localaws import LocalAws

if TYPE_CHECKING:
    from helpers.rds_proxies import Proxied

_running: list[LocalAws] = []

# Collecting the tests makes very many objects that stay, and looking among them for garbage took
# half of the time.
gc.disable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import modules of which a run without the embedded AWS takes no test: that is most of them."""
    if collection_path.suffix != ".py" or not str(config.getoption("-m")).startswith("not local"):
        return None
    return True if "\npytestmark = pytest.mark.local\n" in collection_path.read_text("utf-8") else None


@pytest.hookimpl(tryfirst=True)  # before those are left out that a run does not want
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what only another emulator can change to `--full`, and to `run.py compat` before an upgrade."""
    for item in items:
        if {"stock_aws", "stock_functions"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.stock)
            item.add_marker(pytest.mark.full)


def pytest_collection_finish() -> None:
    """Look for garbage from now on, but not among the modules and tests, and not as often as Python does."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    gc.enable()


def pytest_configure() -> None:
    """Hear ctrl-C also where a shell runs the tests in the background, and so do the programs they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _serving(aws: LocalAws) -> Iterator[LocalAws]:
    with aws:
        _running.append(aws)
        yield aws
        _running.remove(aws)


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """The embedded AWS. It starts when the first test asks for it."""
    yield from _serving(LocalAws())


@pytest.fixture(scope="session")
def stock_aws() -> Iterator[LocalAws]:
    """The emulator as it comes, for the tests that show why a bridge is still needed."""
    yield from _serving(LocalAws(bridges=False))


@pytest.fixture(scope="module", autouse=True)
def _empty_account() -> None:
    """Each module starts with an empty account. Its own module-scoped fixtures run after this one."""
    for aws in _running:
        aws.reset()


@pytest.fixture
def empty_aws(local_aws: LocalAws) -> LocalAws:
    """The embedded AWS, emptied before this test."""
    local_aws.reset()
    return local_aws


@pytest.fixture
def functions(local_aws: LocalAws) -> Functions:
    """Functions on the embedded AWS."""
    return Functions(local_aws)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that functions see, too. It is not below /tmp, because they have one of their own."""
    with tempfile.TemporaryDirectory(prefix="shared-", dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def hold(shared_folder: Path) -> Iterator[Hold]:
    """Keeps invocations running until the test releases them, or ends."""
    made = Hold(shared_folder)
    yield made
    made.release()


@pytest.fixture
def stock_functions(stock_aws: LocalAws) -> Functions:
    """Functions on the emulator as it comes."""
    return Functions(stock_aws)


@pytest.fixture(scope="session")
def quick_aws() -> Iterator[LocalAws]:
    """An embedded AWS of its own, on which a documented minute takes a tenth of a second."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCALAWS_SECONDS_PER_MINUTE", "0.1")
        with LocalAws() as aws:
            yield aws


@pytest.fixture(scope="module")
def _proxied() -> Iterator[Proxied]:
    from helpers.rds_proxies import proxied  # imports a PostgreSQL driver, which few tests need

    with proxied() as running:
        yield running


@pytest.fixture
def proxy(_proxied: Proxied) -> Proxied:
    """A new proxy with the usual settings, in front of a PostgreSQL server that has no other clients."""
    _proxied.end_proxy()
    _proxied.renew()
    _proxied.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
    return _proxied
