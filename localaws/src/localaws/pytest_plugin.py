"""The fixtures that pytest finds once `pytest-localaws` is installed: `local_aws` and `empty_aws`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from localaws import LocalAws


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """An embedded AWS that all tests of the session share. It starts when the first test asks for it."""
    from localaws import LocalAws  # imported only by sessions that use it

    with LocalAws() as aws:
        yield aws


@pytest.fixture
def empty_aws(local_aws: LocalAws) -> LocalAws:
    """The shared embedded AWS, reset to an empty account before this test."""
    local_aws.reset()
    return local_aws
