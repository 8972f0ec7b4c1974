"""What pytest finds once `pytest-localaws` is installed: the fixtures, the mark `localaws`, and its options.

`local_aws` is the embedded AWS of the session, `deploy` deploys a CDK app to it. When a test fails that uses
them, its report has the logs of the functions, what IAM has denied, and the ignored properties.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from localaws import Deployment, LocalAws

_RESETS = ("module", "never")
_KEYWORDS = ("pace", "account_concurrency", "ignored")
_MOST_LINES = 40

_served = pytest.StashKey[list["LocalAws"]]()
_began = pytest.StashKey[float]()
_kept_name = pytest.StashKey[str]()
_failed = pytest.StashKey[bool]()
_file = pytest.StashKey[pytest.Item | pytest.Collector | None]()
_deployments = pytest.StashKey[int]()
_holders = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    when = "when the account is emptied: 'module' (before each module, the default) or 'never'"
    parser.addini("localaws_reset", when, default="module")
    parser.getgroup("localaws").addoption(
        "--localaws-keep",
        action="store_true",
        help="stop at the first failure of a test that uses the embedded AWS, and leave it running",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark, and check the options."""
    config.addinivalue_line(
        "markers",
        "localaws(pace=SECONDS, account_concurrency=N, ignored={NAMES}): how long a documented minute takes "
        "on the embedded AWS, how many concurrent executions of functions its accounts have, and the "
        "template properties that may have no effect there",
    )
    given = config.getini("localaws_reset")
    if given not in _RESETS:
        raise pytest.UsageError(f"localaws_reset={given!r}: it must be one of {', '.join(_RESETS)}")


# --- Fixtures


@pytest.fixture(scope="session")
def local_aws(request: pytest.FixtureRequest) -> Iterator[LocalAws]:
    """An embedded AWS that all tests of the session share. It starts when the first test asks for it."""
    from localaws import LocalAws  # imported only by sessions that use it

    config = request.config
    if config.getoption("localaws_keep"):
        yield from _kept(config, LocalAws)
        return
    with LocalAws() as aws:
        _serve(config, aws)
        yield aws


def _kept(config: pytest.Config, factory: type[LocalAws]) -> Iterator[LocalAws]:
    """An embedded AWS that outlives this process, if a test that uses it fails."""
    from localaws.server import outliving

    name = f"pytest-{os.getpid()}"
    outliving.start(name, {})
    try:
        aws = factory.attach(name)
        config.stash[_kept_name] = name
        _serve(config, aws)
        yield aws
    finally:
        if not config.stash.get(_failed, default=False):
            outliving.stop(name)


@pytest.fixture
def empty_aws(local_aws: LocalAws, request: pytest.FixtureRequest) -> LocalAws:
    """The shared embedded AWS, reset to an empty account before this test."""
    if holders := request.config.stash.get(_holders, []):
        pytest.fail(
            f"empty_aws would delete what the fixture {holders[-1]!r} has made, which other tests still use: "
            "give that fixture the scope 'module', or start a LocalAws() of its own for this test",
            pytrace=False,
        )
    local_aws.reset()
    return local_aws


@pytest.fixture(scope="session")
def deploy(local_aws: LocalAws, request: pytest.FixtureRequest) -> Callable[..., Deployment]:
    """`LocalAws.deploy` of the shared embedded AWS; relative folders start at pytest's root folder."""
    _serve(request.config, local_aws)
    return functools.partial(_deploy, local_aws, request.config)


def _deploy(aws: LocalAws, config: pytest.Config, app: Any, *stack: Any, **options: Any) -> Deployment:
    folder = options.pop("folder", None) or ""
    config.stash[_deployments] = config.stash.get(_deployments, 0) + 1
    return aws.deploy(app, *stack, folder=config.rootpath / folder, **options)


@pytest.fixture(autouse=True)
def _localaws_pace(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set the pace that the mark of the test names."""
    seconds = _mark(request.node, "pace")
    if seconds is None:
        yield
        return
    with request.getfixturevalue("local_aws").paced(seconds):
        yield


@pytest.fixture(autouse=True)
def _localaws_account_concurrency(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set the concurrent executions that the mark of the test names."""
    executions = _mark(request.node, "account_concurrency")
    if executions is None:
        yield
        return
    with request.getfixturevalue("local_aws").with_account_concurrency(executions):
        yield


def _serve(config: pytest.Config, aws: LocalAws) -> None:
    """Look after an embedded AWS, also one of a fixture `local_aws` that a project has in place of ours."""
    served = config.stash.setdefault(_served, [])
    if aws not in served:
        served.append(aws)


def _aws_of(item: pytest.Item) -> LocalAws | None:
    """The embedded AWS that a test uses, if it has been started."""
    if not {"local_aws", "deploy"} & set(getattr(item, "fixturenames", ())):
        return None
    if (served := item.config.stash.get(_served, None)) is not None:
        return served[0]
    from localaws import LocalAws

    own = getattr(item, "funcargs", {}).get("local_aws")  # a project's own fixture of this name
    return own if isinstance(own, LocalAws) else None


# --- The reset


def _reset_for(item: pytest.Item) -> None:
    """Empty the account before anything of a module is set up, unless a fixture that lives on has filled it.

    A module-scoped fixture would come too late: pytest sets up those of the session and the package before.
    """
    stash, file = item.config.stash, item.getparent(pytest.File)  # type: ignore[type-abstract]
    before, stash[_file] = stash.get(_file, None), file
    if file is before or item.config.getini("localaws_reset") != "module" or stash.get(_holders, []):
        return
    for aws in stash.get(_served, []):
        aws.reset()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Iterator[Any]:
    """Remember the fixtures that outlive a module and have made something in the account."""
    if fixturedef.scope not in ("session", "package"):
        return (yield)
    config, before = request.config, _uses(request.config)
    try:
        return (yield)
    finally:  # also if it failed: then it is set up again for the next test
        if _uses(config) != before:
            holders = config.stash.setdefault(_holders, [])
            holders.append(fixturedef.argname)
            fixturedef.addfinalizer(functools.partial(holders.remove, fixturedef.argname))


def _uses(config: pytest.Config) -> tuple[int, int]:
    """What grows with each deployment and each API call."""
    calls = [call.number for aws in config.stash.get(_served, []) for call in aws.calls()[-1:]]
    return config.stash.get(_deployments, 0), sum(calls)


# --- The mark


def _mark(item: pytest.Item, keyword: str) -> Any:
    """The value of a keyword in the closest mark that has it; None if no mark has it."""
    values = [mark.kwargs[keyword] for mark in item.iter_markers("localaws") if keyword in mark.kwargs]
    return values[0] if values else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse marks that would have no effect."""
    allowed = f"{', '.join(_KEYWORDS[:-1])} and {_KEYWORDS[-1]}"
    for item in items:
        for mark in item.iter_markers("localaws"):
            unknown = sorted(set(mark.kwargs) - set(_KEYWORDS))
            if mark.args or unknown or not mark.kwargs:
                given = ", ".join([*map(repr, mark.args), *unknown]) or "nothing"
                raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.localaws takes {allowed}, not {given}")
            ignored = mark.kwargs.get("ignored")
            if ignored is not None and (isinstance(ignored, str) or not isinstance(ignored, Collection)):
                raise pytest.UsageError(
                    f"{item.nodeid}: ignored={ignored!r}: give a set of names such as "
                    "'AWS::SNS::Topic.TracingConfig', or set()"
                )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test with the mark `ignored=` when a property had no effect that the mark does not name."""
    yield
    ignored, aws = _mark(item, "ignored"), _aws_of(item)
    if ignored is None or aws is None:
        return
    unknown = [one for one in aws.dropped_properties() if str(one) not in ignored]
    if unknown:
        listed = "\n".join(f"  {one} of {one.logical_id} in {one.stack}" for one in unknown)
        pytest.fail(
            f"These properties have no effect on the embedded AWS:\n{listed}\n"
            "Name those that do not matter to this test in @pytest.mark.localaws(ignored={...}).",
            pytrace=False,
        )


# --- The report of a failure


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Remember when the test began, and start each module with an empty account."""
    item.stash[_began] = time.time()
    _reset_for(item)
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Add to the report of a failure what is known of it on the embedded AWS."""
    report: Any = yield
    if not report.failed or (aws := _aws_of(item)) is None:
        return report
    try:
        report.sections += _sections(item, aws)
    except Exception as error:  # a report must not fail, whatever state the server is in
        report.sections.append(("embedded AWS", f"It does not answer: {error}"))
    if name := item.config.stash.get(_kept_name, None):
        item.config.stash[_failed] = True
        item.session.shouldstop = "--localaws-keep: a test that uses the embedded AWS has failed"
        report.sections.append(("embedded AWS: still running", how_to_look_inside(name)))
    return report


def _sections(item: pytest.Item, aws: LocalAws) -> Iterator[tuple[str, str]]:
    from localaws.explanations import summary

    since, logs = item.stash.get(_began, 0.0), aws.client("logs")
    groups = logs.get_paginator("describe_log_groups").paginate()
    # Groups, not functions: a deployment that fails deletes its functions and leaves their logs.
    for name in [one["logGroupName"] for page in groups for one in page["logGroups"]]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=name, startTime=int(since * 1000)
        )
        lines = [event["message"].rstrip("\n") for page in pages for event in page["events"]]
        if lines:
            yield f"log of {name.removeprefix('/aws/lambda/')}", "\n".join(lines[-_MOST_LINES:])
    if denied := aws.explain(since)[-_MOST_LINES:]:
        yield "denied by IAM", summary(denied)
    ignored = sorted({f"{one} of {one.logical_id}" for one in aws.dropped_properties()})
    if ignored:
        yield "properties without effect on the embedded AWS", "\n".join(ignored)


def how_to_look_inside(name: str) -> str:
    """The commands for an embedded AWS that was left running."""
    return (
        f'eval "$(localaws env --name {name})"   # for cdk, aws and boto3\n'
        f"localaws why --name {name}             # what IAM has denied\n"
        f"localaws logs FUNCTION --name {name}\n"
        f"localaws stop --name {name}"
    )
