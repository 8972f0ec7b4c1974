"""The command `localaws`: what it prints, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from helpers.assemblies import write_assembly
from helpers.lambda_functions import eventually
from localaws import LocalAws, cli
from localaws.cdk.cli import find_cli
from localaws.server import outliving

pytestmark = pytest.mark.local


class Terminal(io.StringIO):
    """Standard output on a terminal."""

    def isatty(self) -> bool:
        return True


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command; return its exit code and what it printed."""
    code = cli.main(words)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as environment:
        folder = tmp_path_factory.mktemp("state")
        environment.setenv("XDG_STATE_HOME", str(folder))
        environment.setenv("LOCALAWS_CDK", str(find_cli()))
        yield folder / "localaws"
        for name in outliving.names():
            outliving.stop(name)


@pytest.fixture(scope="module")
def running(state: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A server that another process has started, and that has an app."""
    words = [sys.executable, "-m", "localaws", "start", "--json", "--region", "eu-west-1"]
    words += ["--account-concurrency", "50"]
    started = subprocess.run(words, capture_output=True, text=True, check=True)
    assembly = tmp_path_factory.mktemp("app")
    write_assembly(assembly)
    assert cli.main(["deploy", str(assembly), "Orders", "--quiet"]) == 0
    found: dict[str, Any] = json.loads(started.stdout)
    return found


def test_it_outlives_the_command_that_started_it(
    running: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "status", "--json")
    assert (code, json.loads(out)) == (0, running)
    assert "secret" not in out
    assert run(capsys, "status")[1].split() == [
        "default",
        running["endpoint_url"],
        "123456789012",
        "eu-west-1",
    ]


def test_only_the_user_can_read_the_secret(running: dict[str, Any], state: Path) -> None:
    assert state.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in state.iterdir()} == {0o600}


def test_a_folder_that_others_may_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "localaws").mkdir(mode=0o755)
    code, _, err = run(capsys, "status")
    assert (code, "must be a folder of yours with the mode 700" in err) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["status", "--json"], 3, "No embedded AWS runs."),
        (["stop"], 3, "was not running"),
        (["start"], 1, "{0}/localaws cannot be used (Not a directory): name another one in XDG_STATE_HOME"),
        (
            ["install", "--quiet"],
            1,
            "{0}/localaws cannot be written (Not a directory): name another one in XDG_CACHE_HOME",
        ),
    ],
)
def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    (home := tmp_path / "home").touch()
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None
    )  # the server is not in this environment
    found, out, err = run(capsys, *words)
    assert (found, out, err.count("\n")) == (code, "", 1), err
    assert said.format(home) in err


def test_asking_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run(capsys, "status", "--json")[:2] == (3, "")
    assert run(capsys, "logs", "f")[0] == run(capsys, "stop")[0] == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("running")
def test_an_account_has_the_concurrency_that_was_given() -> None:
    aws = LocalAws.attach()
    assert aws.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 50
    with aws.with_account_concurrency(7):
        limit = aws.client("lambda").get_account_settings()["AccountLimit"]
        assert limit["UnreservedConcurrentExecutions"] == 7
    assert aws.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 50


def test_a_second_start_is_refused(running: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "start")
    assert (code, out) == (1, "")
    assert err == "localaws start: The embedded AWS 'default' is already running.\n"


def test_env_is_for_a_shell(running: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "env")
    shown = subprocess.run(
        ["sh", "-c", f'{out}\necho "$AWS_ENDPOINT_URL $AWS_REGION"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == [running["endpoint_url"], "eu-west-1"]
    assert json.loads(run(capsys, "env", "--json")[1])["AWS_REGION"] == "eu-west-1"


def test_logs_why_events_and_ignored(running: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    from localaws import LocalAws

    aws = LocalAws.attach()
    (function,) = [one["FunctionName"] for one in aws.client("lambda").list_functions()["Functions"]]
    aws.client("lambda").invoke(FunctionName=function, Payload=b'{"id": "o-1"}')
    assert "storing {'id': 'o-1'}\n" in run(capsys, "logs", "Handler")[1]
    denied = json.loads(run(capsys, "why", "--json")[1])
    assert (denied["action"], denied["times"]) == ("dynamodb:PutItem", 1)
    assert denied["grants"][0]["actions"] == ["dynamodb:PutItem"]
    text = run(capsys, "why")[1]
    assert "no policy of the principal allows this action" in text
    assert "table.grant_write_data(handler)" in text
    lines = run(capsys, "events")[1].splitlines()
    assert next(line for line in lines if "dynamodb:PutItem" in line).endswith("DENIED")
    assert any("lambda:InvokeFunction" in line and line.endswith(":root") for line in lines)
    assert "AWS::DynamoDB::Table.ContributorInsightsSpecification" in run(capsys, "ignored")[1]


def test_a_function_that_is_not_there_is_named(
    running: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "logs", "Nobody")
    assert code == 1
    assert "no function matches 'Nobody'; there are: Orders-Handler" in err


def test_a_deployment_that_fails_says_why(
    running: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = run(capsys, "deploy", "exit 7", "--folder", str(tmp_path))
    assert (code, out) == (1, "")
    assert "`cdk synth` failed with exit code" in err


def test_an_embedded_aws_of_a_program_is_not_attached_to(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    code, _out, err = run(capsys, "why", "--name", "other")
    assert code == 3
    assert "http://127.0.0.1:4566 belongs to a program" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["logs", "f"], 3, "no embedded AWS 'other' runs; `localaws start` starts one"),
        (["status"], 3, ""),
        (["stop"], 3, "was not running"),
        (["start", "--account", "12"], 2, "account='12': an account id has 12 digits"),
        (
            ["start", "--account-concurrency", "0"],
            2,
            "account_concurrency=0: give a number of executions from",
        ),
        (["start", "--region", "mars-1"], 2, "region='mars-1': it must be the code of an AWS region"),
        (["start", "--region", "moon"], 2, "region='moon': it must be the code of an AWS region"),
        (["env", "--name", "../x"], 2, "name='../x': use letters"),
    ],
)
def test_exit_codes(
    state: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    name = [] if "--name" in words else ["--name", "other"]
    found, _, err = run(capsys, *words, *name)
    assert (found, said in err) == (code, True), err


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"localaws {version('pytest-localaws')}\n")


def test_wrong_arguments_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["logs"])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("variables", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)]
)
def test_colours_only_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cli._painted("denied", cli._RED) == "denied"  # no terminal
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert ("\x1b" in cli._painted("denied", cli._RED)) is coloured


def test_a_server_whose_owner_was_killed_ends_and_does_not_count(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(capsys, "start", "--name", "killed", "--json")
    found = json.loads(out)
    os.kill(found["pid"], signal.SIGKILL)
    eventually(lambda: run(capsys, "status", "--name", "killed")[0] == 3)
    assert run(capsys, "env", "--name", "killed")[0] == 3
    eventually(lambda: not Path(found["log_file"]).exists())  # its keeper has removed the folder
    assert not (state / "killed.json").exists()


def test_stop_ends_it(running: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    words = [sys.executable, "-m", "localaws", "events", "--follow", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
        assert follower.stdout
        json.loads(follower.stdout.readline())
        assert run(capsys, "stop", "--quiet") == (0, "", "")
        _, said = follower.communicate()
    assert (follower.returncode, said) == (3, "localaws events: The embedded AWS 'default' has ended.\n")
    assert run(capsys, "status", "--quiet")[0] == 3
