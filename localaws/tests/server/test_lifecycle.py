"""The embedded AWS always ends, whatever happens to the program that started it, and leaves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from helpers.lambda_functions import eventually
from helpers.processes_of import (
    assert_nothing_is_left,
    leave_processes_behind,
    make_database,
    make_function,
    running_program,
    wait_until_nothing_is_left,
)
from localaws import LocalAws, LocalAwsError
from localaws.server import orphans, processes

pytestmark = pytest.mark.local


def test_stop_leaves_no_process_and_no_file() -> None:
    with LocalAws() as aws:
        pids, folder = leave_processes_behind(aws), aws.log_file.parent
        assert len(pids) == 5
        assert folder.is_dir()
    assert_nothing_is_left(pids, folder)  # stop() waits for it


def test_an_exception_in_the_block_ends_it_too() -> None:
    with contextlib.suppress(ZeroDivisionError), LocalAws() as aws:
        pids, folder = leave_processes_behind(aws), aws.log_file.parent
        raise ZeroDivisionError
    assert_nothing_is_left(pids, folder)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.full),
        pytest.param(signal.SIGHUP, marks=pytest.mark.full),
    ],
)
def test_a_signal_that_ends_the_user_s_program_ends_it_too(number: signal.Signals) -> None:
    with running_program("time.sleep(600)") as (program, started):
        os.killpg(program.pid, number)  # as a terminal does
        program.wait(60)
        wait_until_nothing_is_left(started["pids"], Path(started["folder"]))


@pytest.mark.full
def test_a_program_that_crashes_ends_it_too() -> None:
    with running_program("os._exit(3)") as (program, started):
        assert program.wait(60) == 3
        wait_until_nothing_is_left(started["pids"], Path(started["folder"]))


def test_a_program_that_never_calls_stop_ends_it_too() -> None:
    body = "LocalAws.__exit__ = lambda *_: None"
    with running_program(body) as (program, started):
        assert program.wait(60) == 0
        wait_until_nothing_is_left(started["pids"], Path(started["folder"]))


def test_a_forked_copy_of_the_program_neither_ends_it_nor_keeps_it_running() -> None:
    # The copy leaves the block first; a second one holds every pipe open until the test ends it.
    body = """
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    assert aws.client("sts").get_caller_identity()["Account"] == aws.account
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    os.kill(os.getpid(), 9)"""
    with running_program(body.strip()) as (program, started):
        assert program.wait(60) == -signal.SIGKILL
        wait_until_nothing_is_left(started["pids"], Path(started["folder"]))
        os.killpg(program.pid, signal.SIGKILL)  # the copy is still there


def test_stop_does_not_wait_for_a_forked_copy_that_holds_the_pipes() -> None:
    body = """
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)"""
    with running_program(body.strip()) as (program, started):
        assert program.wait(60) == 0
        assert_nothing_is_left(started["pids"], Path(started["folder"]))
        os.killpg(program.pid, signal.SIGKILL)  # the copy is still there


def test_when_the_keeper_is_killed_the_server_ends_itself() -> None:
    with LocalAws() as aws:
        pids, folder = leave_processes_behind(aws), aws.log_file.parent
        adopted = pids.pop()  # only the keeper finds a process without a parent
        os.kill(pids[0], signal.SIGKILL)
        with pytest.raises(LocalAwsError):
            aws.wait()
        wait_until_nothing_is_left(pids, folder)
    os.kill(adopted, signal.SIGKILL)


def test_when_the_server_is_killed_the_keeper_cleans_up() -> None:
    with LocalAws() as aws:
        pids, folder = leave_processes_behind(aws), aws.log_file.parent
        os.kill(pids[1], signal.SIGKILL)
        with pytest.raises(LocalAwsError):
            aws.wait()
        wait_until_nothing_is_left(pids, folder)


def test_the_next_start_clears_what_a_keeper_and_a_server_killed_together_left() -> None:
    aws = LocalAws().start()
    make_database(aws)
    keeper, server, *left = leave_processes_behind(aws)
    database = [pid for pid in processes.descendants(server) if _command(pid).startswith("postgres")]
    folder, shell = aws.log_file.parent, _shell_of_the_user(aws)
    try:
        for pid in (keeper, server):  # neither can react
            os.kill(pid, signal.SIGSTOP)
        for pid in (keeper, server):
            os.kill(pid, signal.SIGKILL)
        assert database
        # A worker ends with its input; its children, the database and the folder stay until another start
        # clears them: this one, or that of a test in another process. It leaves alone what is running.
        running = LocalAws().start()
        try:
            wait_until_nothing_is_left([*left, *database], folder)
            with LocalAws():
                assert running.client("sts").get_caller_identity()["Account"] == running.account
        finally:
            running.stop()
        assert shell.poll() is None  # it has the variables of the folder, and is the user's own
    finally:
        shell.kill()
        shell.wait()
        aws.stop()


def _shell_of_the_user(aws: LocalAws) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"], env={**os.environ, **aws.environment}, cwd=aws.log_file.parent)


def _command(pid: int) -> str:
    try:
        return Path(Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0]).name
    except OSError:
        return ""


def test_a_name_that_another_user_has_taken_does_not_hinder_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"localaws-of-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    orphans.clear()
    orphans.Registration(tmp_path / "localaws-abc").end()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_only_the_folder_of_an_entry_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    entries = orphans.registry()
    assert entries
    for name in ("precious", "localaws-running", "localaws-ended", "localaws-starting"):
        (tmp_path / name).mkdir()
    (entries / "localaws-other").write_text(str(tmp_path / "precious"))
    (entries / "localaws-ended").write_text(str(tmp_path / "localaws-ended"))
    (entries / "localaws-starting").write_text("")
    running = orphans.Registration(tmp_path / "localaws-running")
    orphans.clear()
    assert sorted(path.name for path in tmp_path.glob("localaws-[!o]*")) == [
        "localaws-running",
        "localaws-starting",
    ]
    assert (tmp_path / "precious").is_dir()
    running.end()


def test_a_custom_resource_that_hangs_does_not_hold_it() -> None:
    with LocalAws() as aws:
        arn = make_function(aws, "import time\ndef handler(e, c): time.sleep(600)", timeout=900)
        template = {"Resources": {"R": {"Type": "Custom::Hangs", "Properties": {"ServiceToken": arn}}}}
        cloudformation = aws.client("cloudformation")
        cloudformation.create_stack(StackName="hangs", TemplateBody=json.dumps(template))
        # Not describe_stacks, which waits for seconds while the stack changes.
        events = cloudformation.describe_stack_events
        eventually(lambda: len(events(StackName="hangs")["StackEvents"]) > 1)
        eventually(lambda: len(processes.descendants(aws._ready.pid)) > 0)
        folder = aws.log_file.parent
    assert not folder.exists()  # at the end of the block, while the function would run for minutes


def test_two_can_run_at_the_same_time() -> None:
    with LocalAws() as one, LocalAws() as other:
        one.client("s3").create_bucket(Bucket="only-in-one")
        assert not other.client("s3").list_buckets()["Buckets"]
        one.stop()
        assert other.client("s3").list_buckets()["Buckets"] == []


def test_it_can_be_started_again() -> None:
    aws = LocalAws()
    for _ in range(2):
        with aws:
            assert aws.client("sts").get_caller_identity()["Account"] == aws.account


def test_starting_twice_is_refused(local_aws: LocalAws) -> None:
    with pytest.raises(LocalAwsError, match="already running"):
        local_aws.start()


def test_before_the_start_an_error_explains_how_to_start() -> None:
    with pytest.raises(LocalAwsError, match="with LocalAws"):
        _ = LocalAws().endpoint_url


def test_a_server_that_cannot_start_reports_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "ministack"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no such luck')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    state = tmp_path / "state"
    state.mkdir()
    with pytest.raises(LocalAwsError, match="no such luck"):
        LocalAws(state_dir=state).start()
    assert list(state.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOCALAWS_ALB_INVOCATIONS", "many"),
        ("LOCALAWS_ALB_INVOCATIONS", "0"),
        ("LOCALAWS_ASYNC_RETRY_DELAYS", "1"),
        ("LOCALAWS_ASYNC_RETRY_DELAYS", "1,-1"),
        ("LOCALAWS_SECONDS_PER_MINUTE", "nan"),
        ("LOCALAWS_SOURCE_RETRY_DELAY", ""),
    ],
)
def test_a_setting_that_is_not_allowed_is_reported_without_a_traceback(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(LocalAwsError, match=f"{variable}='{value}': give ") as error:
        LocalAws().start()
    assert "Traceback" not in str(error.value)


def test_the_child_is_no_program_for_people() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "localaws.server", "--help"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "LocalAws starts it" in done.stderr


def test_the_state_folder_is_where_the_user_s_temporary_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # as TMPDIR does, which the server does not see
    with LocalAws() as aws:
        assert aws.log_file.parent.parent == tmp_path


def test_a_state_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="state_dir="):
        LocalAws(state_dir=tmp_path / "missing")


@pytest.mark.parametrize("name", ["iam", "bridges"])
def test_a_switch_is_true_or_false(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}='no': give True or False"):
        LocalAws(**{name: "no"})  # type: ignore[arg-type]


@pytest.mark.parametrize("account", ["", "12345678901", "AKIA12345678", 123456789012])
def test_an_account_that_is_no_account_id_is_refused(account: Any) -> None:
    with pytest.raises(ValueError, match="an account id has 12 digits"):
        LocalAws(account=account)


@pytest.mark.parametrize("region", ["", "x", "us-east", "US-EAST-1", "us-east-1a", "us_east_1"])
def test_a_region_that_is_none_is_refused(region: str) -> None:
    with pytest.raises(ValueError, match=r"it must be the code of an AWS region"):
        LocalAws(region=region)


@pytest.mark.parametrize("region", ["us-east-1", "cn-northwest-1", "us-gov-west-1", "eusc-de-east-1"])
def test_every_region_is_accepted(region: str) -> None:
    assert LocalAws(region=region).region == region


def test_a_log_that_cannot_be_written_is_the_error_and_not_what_an_older_log_says(tmp_path: Path) -> None:
    """Root may write to any file, so here the log is a folder."""
    log = tmp_path / "server.log"
    log.mkdir()
    with pytest.raises(OSError, match=r"server\.log"):
        LocalAws(log_file=log).start()


def test_the_log_stays_where_it_was_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "emulator.log"
    with LocalAws(log_file=log) as aws:
        aws.client("s3").create_bucket(Bucket="seen-in-the-log")
        assert aws.log_file == log
    assert "seen-in-the-log" in log.read_text()


def test_it_listens_on_the_loopback_interface_only(local_aws: LocalAws) -> None:
    listening = _listening_sockets(local_aws._ready.pid)
    assert ("127.0.0.1", local_aws._ready.port) in listening
    assert {address for address, _ in listening} == {"127.0.0.1"}


def _listening_sockets(pid: int) -> set[tuple[str, int]]:
    tables = [Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6")]
    if not tables[0].exists():
        pytest.skip("only Linux shows listening sockets of a process without a tool")
    own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for line in "".join(table.read_text() for table in tables).splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
            address, port = fields[1].split(":")
            found.add((socket.inet_ntoa(bytes.fromhex(address)[::-1][:4]), int(port, 16)))
    return found
