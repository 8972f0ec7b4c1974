"""What the tests of bridges share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from localaws import LocalAws
from tests.local.bridges.lambda_functions import Functions

if TYPE_CHECKING:
    from tests.local.bridges.rds_proxies import Proxied


@pytest.fixture
def functions(local_aws: LocalAws) -> Functions:
    """Functions on the embedded AWS with its bridges."""
    return Functions(local_aws)


@pytest.fixture
def stock_functions(stock_aws: LocalAws) -> Functions:
    """Functions on the emulator as it comes."""
    return Functions(stock_aws)


@pytest.fixture(scope="session")
def quick_aws() -> Iterator[LocalAws]:
    """An embedded AWS of its own, where a documented minute takes a tenth of a second."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCALAWS_SECONDS_PER_MINUTE", "0.1")
        with LocalAws() as aws:
            yield aws


@pytest.fixture(scope="module")
def _proxied() -> Iterator[Proxied]:
    from tests.local.bridges.rds_proxies import proxied  # a driver of PostgreSQL, which few tests need

    with proxied() as running:
        yield running


@pytest.fixture
def proxy(_proxied: Proxied) -> Proxied:
    """A new proxy with the usual settings, in front of a PostgreSQL to which nobody is connected."""
    _proxied.end_proxy()
    _proxied.renew()
    _proxied.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
    return _proxied
