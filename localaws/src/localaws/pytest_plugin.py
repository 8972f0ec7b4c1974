"""The fixtures of `pytest-localaws`: `local_aws`, `deploy` and `empty_aws`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from localaws import Deployment, LocalAws

_served = pytest.StashKey[list["LocalAws"]]()


@pytest.fixture(scope="session")
def local_aws(request: pytest.FixtureRequest) -> Iterator[LocalAws]:
    """An embedded AWS that all tests of the session share. It starts when the first test asks for it."""
    from localaws import LocalAws  # imported only by sessions that use it

    with LocalAws() as aws:
        _serve(request.config, aws)
        yield aws


@pytest.fixture
def empty_aws(local_aws: LocalAws) -> LocalAws:
    """The shared embedded AWS, reset to an empty account before this test."""
    local_aws.reset()
    return local_aws


@pytest.fixture(scope="session")
def deploy(local_aws: LocalAws, request: pytest.FixtureRequest) -> Callable[..., Deployment]:
    """`LocalAws.deploy` of the shared embedded AWS; relative folders start at pytest's root folder."""
    _serve(request.config, local_aws)
    return functools.partial(_deploy, local_aws, request.config)


def _deploy(aws: LocalAws, config: pytest.Config, *args: object, **options: object) -> Deployment:
    folder = options.pop("folder", None) or ""
    return aws.deploy(*args, folder=config.rootpath / str(folder), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _localaws_reset(request: pytest.FixtureRequest) -> None:
    """Each module starts with an empty account, unless the option `localaws_reset` says otherwise."""
    if request.config.getini("localaws_reset") == "module":
        for aws in request.config.stash.get(_served, []):
            aws.reset()


def _serve(config: pytest.Config, aws: LocalAws) -> None:
    """Look after an embedded AWS, also one of a fixture `local_aws` that a project has in place of ours."""
    served = config.stash.setdefault(_served, [])
    if aws not in served:
        served.append(aws)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    when = "when the account is emptied: 'module' (before each module, the default) or 'never'"
    parser.addini("localaws_reset", when, default="module")
