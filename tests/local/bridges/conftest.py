"""What the tests of bridges share."""

from __future__ import annotations

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
