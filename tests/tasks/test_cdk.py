"""The CDK CLI is run as asked, ends with the process that started it, and fails with the end of its log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks import cdk
from tasks.cdk import Cdk, CdkError, main, unknown_option

# A substitute for the CLI: it executes the variable DO.
_FAKE = f"#!{sys.executable}\nimport os, sys\nexec(os.environ['DO'])\n"


@pytest.fixture(autouse=True)
def _fake_cli(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    program = tmp_path_factory.mktemp("cli") / "cdk"
    program.write_text(_FAKE)
    program.chmod(0o755)
    monkeypatch.setattr(cdk, "cli", lambda: program)


def cdk_that(does: str, folder: Path) -> Cdk:
    return Cdk({**os.environ, "DO": does}, folder=folder)


def test_outputs_of_the_deployed_stack_are_returned(tmp_path: Path) -> None:
    writes = """
path = sys.argv[sys.argv.index("--outputs-file") + 1]
open(path, "w").write('{"thumbnailer": {"TableName": "rows"}}')
"""
    assert cdk_that(writes, tmp_path).deploy("thumbnailer") == {"TableName": "rows"}


def test_outputs_of_an_earlier_deployment_are_not_returned(tmp_path: Path) -> None:
    (tmp_path / "outputs-thumbnailer.json").write_text('{"thumbnailer": {"TableName": "old"}}')
    with pytest.raises(FileNotFoundError):
        cdk_that("pass", tmp_path).deploy("thumbnailer")


def test_a_failure_shows_the_end_of_the_log_and_where_the_rest_is(tmp_path: Path) -> None:
    fails = "[print('line', n) for n in range(100)]; sys.exit('Stack is in ROLLBACK_COMPLETE')"
    with pytest.raises(CdkError) as failed:
        cdk_that(fails, tmp_path).deploy("thumbnailer")
    message = str(failed.value)
    assert "`cdk deploy` failed with exit code 1" in message
    assert "Stack is in ROLLBACK_COMPLETE" in message
    assert "line 0\n" not in message
    assert str(tmp_path / "deploy-thumbnailer.log") in message


def test_only_the_wanted_architecture_is_synthesised_and_without_validation(tmp_path: Path) -> None:
    checks = """
assert "only=thumbnailer" in sys.argv and "color=red" in sys.argv
assert os.environ["CDK_VALIDATION"] == "false"
"""
    with cdk_that(checks, tmp_path).synthesizing("thumbnailer", {"color": "red"}) as synthesis:
        synthesis.finish()


def test_a_cli_that_still_runs_at_the_end_of_the_block_is_ended_with_its_children(tmp_path: Path) -> None:
    starts_another = """
import subprocess, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
    log = tmp_path / "synth-thumbnailer.log"
    with cdk_that(starts_another, tmp_path).synthesizing("thumbnailer"):
        deadline = time.monotonic() + 60
        while not log.read_text().endswith("\n"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    grandchild = int(log.read_text())
    deadline = time.monotonic() + 60
    while is_running(grandchild):
        assert time.monotonic() < deadline, "the CLI's child is still running"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def words_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    """The CLI's arguments for those of run.py."""
    called: list[list[str]] = []

    def call(words: list[str], cwd: Path) -> int:
        assert (cwd / "cdk.json").exists()
        called.append(words[1:])
        return 0

    monkeypatch.setattr(subprocess, "call", call)
    assert cdk.main(list(arguments)) == 0
    return called[0]


def test_a_users_deployment_gets_the_id_and_the_other_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of(monkeypatch, "deploy", "thumbnailer", "--require-approval", "never")
    assert words[:4] == ["deploy", "thumbnailer", "-c", "only=thumbnailer"]
    assert words[-2:] == ["--require-approval", "never"]


def test_all_architectures_are_synthesised_without_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of(monkeypatch, "synth", "--quiet")
    assert not any(word.startswith("only=") for word in words)


@pytest.mark.parametrize(
    "words",
    [
        "thumbnailer",
        "x --require-approval never",
        "x -c a=b --context=c=d",
        "x --no-rollback -vv",
        "x --help",
    ],
)
def test_options_of_the_cli_are_passed_on(words: str) -> None:
    assert unknown_option("deploy", words.split()) == ""


@pytest.mark.parametrize("option", ["--requre-approval", "--forc", "-k", "--json=1"])
def test_an_option_that_the_cli_would_ignore_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", "thumbnailer", option]) == 2
    assert f"run.py deploy: There is no option '{option.partition('=')[0]}'" in capsys.readouterr().err
