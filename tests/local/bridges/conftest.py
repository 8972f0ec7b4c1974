"""What the tests of bridges share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localaws import LocalAws
from tests.local.bridges.lambda_functions import Functions


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
