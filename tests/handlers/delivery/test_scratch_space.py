"""Jobs on large files: cached, encrypted, resumed wherever they end, counted once."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws
from moto.backends import get_backend

from delivery.scratch_space import cache as caches
from delivery.scratch_space.cache import Cache, LargeFile, NoSuchFile, TooLarge
from delivery.scratch_space.checkpoints import Checkpoints, InProgress, OtherJob, Superseded
from delivery.scratch_space.report import InvalidJob, Job, TooManyBranches, Totals
from delivery.scratch_space.vault import Damaged, Vault
from localaws.engines import namespaces
from tests.handlers.importing import import_handler

LINES = [f"{2025 + number % 2},{'AB'[number % 3 % 2]},{number}\n" for number in range(4_000)]
TEXT = "".join(LINES).encode()
PIECE = 4096
JOB: dict[str, Any] = {"job_id": "j-1", "file": "bookings.csv", "year": 2026}
SECONDS = 60


class Killed(BaseException):
    """The environment ends: nothing that comes after runs, as nothing catches it."""


@pytest.fixture(scope="module")
def clients() -> Iterator[SimpleNamespace]:
    """Clients that all environments share: making them takes longest."""
    names = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "eu-west-1"}
    with mock.patch.dict(os.environ, names), mock_aws():
        yield SimpleNamespace(**{name: boto3.client(name) for name in ("s3", "kms", "lambda")})


@pytest.fixture
def aws(clients: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Empty buckets and a key."""
    monkeypatch.setattr(caches, "PIECE_BYTES", PIECE)
    monkeypatch.setattr("shared.clients.make_clients", lambda *names: [vars(clients)[one] for one in names])
    for backend in ("s3", "kms"):
        get_backend(backend).reset()
    s3, kms = clients.s3, clients.kms
    for bucket in ("files", "work"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_versioning(Bucket="files", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="files", Key="bookings.csv", Body=TEXT)
    key = kms.create_key()["KeyMetadata"]["Arn"]
    return SimpleNamespace(s3=s3, kms=kms, key=key, tmp=tmp_path)


def environment(aws: SimpleNamespace, name: str = "a") -> ModuleType:
    """A cold start in the environment with this name: its `/tmp` is what an earlier one left."""
    (folder := aws.tmp / name).mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        return import_handler(
            "delivery.scratch_space.handler",
            {
                "SOURCE_BUCKET": "files",
                "CHECKPOINT_BUCKET": "work",
                "CACHE_MAX_BYTES": "1000000",
                "KEY_ARN": aws.key,
                "ENCRYPTION_CONTEXT": '{"scratch-space": "test"}',
            },
        )


def invoke(
    function: ModuleType, event: Any = JOB, request_id: str = "1", dies_in: int | None = None, **more: Any
) -> Any:
    """Invoke the function; it may be killed while it works on a piece, counted from 1."""
    time_left = iter(more.get("time_left", ()))
    context = SimpleNamespace(
        function_name="reports",
        memory_limit_in_mb=512,
        invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:reports",
        aws_request_id=request_id,
        log_stream_name=str(function._SCRATCH),
        get_remaining_time_in_millis=lambda: next(time_left, SECONDS * 1000),
    )
    pieces = iter(range(1, 10**6))

    def pause(_seconds: float) -> None:
        if next(pieces) == dies_in:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(function.time, "sleep", pause)
        return function.handler(event, context)


def report(aws: SimpleNamespace, job_id: str = "j-1") -> dict[str, Any]:
    found = json.loads(aws.s3.get_object(Bucket="work", Key=f"reports/{job_id}.json")["Body"].read())
    assert found["totals"]["lines"] == len(LINES)
    assert found["totals"]["cents"] == expected()
    return dict(found)


def expected() -> dict[str, int]:
    totals: dict[str, int] = {}
    for year, branch, cents in (line.split(",") for line in LINES):
        if year == "2026":
            totals[branch] = totals.get(branch, 0) + int(cents)
    return totals


def keys(aws: SimpleNamespace, bucket: str = "work") -> list[str]:
    return [one["Key"] for one in aws.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_file_is_downloaded_once_for_an_environment_and_survives_its_crash(aws: SimpleNamespace) -> None:
    first = environment(aws)
    assert [invoke(first, {**JOB, "job_id": f"j-{n}"})["downloads"] for n in (1, 2, 3)] == [1, 0, 0]
    assert invoke(environment(aws), {**JOB, "job_id": "j-4"})["downloads"] == 0
    assert invoke(environment(aws, "b"), {**JOB, "job_id": "j-5"})["downloads"] == 1
    report(aws, "j-5")


@pytest.mark.parametrize(
    ("again", "resumed"),
    [
        ("a", {3: ("tmp", 2), 8: ("tmp", 7), 9: ("s3", 8), 10: ("tmp", 9)}),
        ("b", {3: ("s3", 0), 10: ("s3", 8)}),
    ],
)
def test_a_killed_job_resumes_from_its_newest_checkpoint_and_counts_each_line_once(
    aws: SimpleNamespace, again: str, resumed: dict[int, tuple[str, int]]
) -> None:
    for piece, (source, start) in resumed.items():
        job = {**JOB, "job_id": f"j-{piece}"}
        with pytest.raises(Killed):
            invoke(environment(aws), job, dies_in=piece)
        assert invoke(environment(aws, again), job)["status"] == "done"
        runs = report(aws, job["job_id"])["runs"]
        assert (runs[-1]["resumed_from"], runs[-1]["from_piece"]) == (source, start)
    assert [key for key in keys(aws) if key.startswith("checkpoints/")] == []


def test_a_job_that_needs_more_time_gives_itself_up_and_asks_for_the_rest(
    aws: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, asked = environment(aws), []
    monkeypatch.setattr(function, "lambda_", SimpleNamespace(invoke=lambda **given: asked.append(given)))
    time_left = [60_000, 60_000, 60_000, 9_999]  # at the start, and before each of three pieces
    assert invoke(function, time_left=time_left)["status"] == "continued"
    assert json.loads(asked[0]["Payload"]) == JOB
    assert asked[0]["InvocationType"] == "Event"
    assert invoke(environment(aws, "b"), request_id="2")["status"] == "done"
    assert [run["from_piece"] for run in report(aws)["runs"]] == [0, 2]


def test_a_job_whose_continuation_fails_fails_and_its_retry_goes_on(
    aws: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = environment(aws)

    def refuse(**_given: Any) -> None:
        raise PermissionError("lambda:InvokeFunction")

    monkeypatch.setattr(function, "lambda_", SimpleNamespace(invoke=refuse))
    with pytest.raises(PermissionError):
        invoke(function, time_left=[60_000, 60_000, 9_999])
    assert invoke(function)["status"] == "done"
    assert report(aws)["runs"][-1]["from_piece"] == 1


def test_another_event_for_a_job_waits_for_its_owner_but_not_for_a_dead_one(
    aws: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        invoke(environment(aws), request_id="1", dies_in=3)
    with pytest.raises(InProgress, match="request 1"):
        invoke(environment(aws, "b"), request_id="2")
    monkeypatch.setattr("delivery.scratch_space.checkpoints.time.time", lambda: 4e9)  # its time is over
    assert invoke(environment(aws, "b"), request_id="2")["status"] == "done"
    report(aws)


def test_a_job_that_failed_is_taken_over_at_once(aws: SimpleNamespace) -> None:
    late = {**JOB, "job_id": "late", "file": "late.csv"}
    function = environment(aws)
    for request_id in ("1", "1", "2"):  # the event, its retry, a redrive
        with pytest.raises(NoSuchFile):
            invoke(function, late, request_id=request_id)
    aws.s3.put_object(Bucket="files", Key="late.csv", Body=TEXT)
    assert invoke(function, late, request_id="3")["status"] == "done"
    report(aws, "late")


@pytest.mark.parametrize("again", ["a", "b"])
def test_a_job_that_failed_in_the_middle_goes_on_after_its_last_piece(
    aws: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    function, pieces = environment(aws), iter(range(1, 6))
    with monkeypatch.context() as patch:
        patch.setattr(Cache, "piece", lambda *_given, real=Cache.piece: next(pieces) and real(*_given))
        with pytest.raises(StopIteration):
            invoke(function)
    assert invoke(environment(aws, again), request_id="2")["status"] == "done"
    assert [run["from_piece"] for run in report(aws)["runs"]] == [0, 5]


def test_a_job_that_cannot_be_given_up_fails_with_its_own_error(
    aws: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: Any) -> None:
        raise ConnectionError("S3 does not answer")

    monkeypatch.setattr(Checkpoints, "give_up", refuse)
    with pytest.raises(NoSuchFile):
        invoke(environment(aws), {**JOB, "file": "late.csv"})


def test_a_wrong_file_does_not_take_the_job_id(aws: SimpleNamespace) -> None:
    function = environment(aws)
    with pytest.raises(NoSuchFile):
        invoke(function, {**JOB, "file": "bookigns.csv"})
    assert invoke(function, request_id="2")["status"] == "done"
    report(aws)


def test_a_run_from_which_another_one_has_taken_over_cannot_write_any_more(aws: SimpleNamespace) -> None:
    slow, quick = stored(aws, "a"), stored(aws, "b")
    checkpoint, _ = slow.claim("j-1", JOB, owner="1", seconds=9)
    quick.claim("j-1", JOB, owner="1", seconds=9)  # the same event, delivered twice
    with pytest.raises(Superseded):
        slow.save("j-1", checkpoint)
    quick.delete("j-1")
    with pytest.raises(Superseded):
        slow.save("j-1", checkpoint)
    assert keys(aws) == []


def test_a_write_that_the_sdk_repeats_is_the_runs_own(
    aws: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored(aws, "a")
    checkpoint, _ = run.claim("j-1", JOB, owner="1", seconds=9)
    put = run._s3.put_object

    def twice(**given: Any) -> Any:
        put(**given)  # the answer is lost
        return put(**given)

    monkeypatch.setattr(run._s3, "put_object", twice)
    checkpoint.next_piece = 8
    run.save("j-1", checkpoint)
    monkeypatch.undo()
    checkpoint.next_piece = 16
    run.save("j-1", checkpoint)


def test_a_progress_in_tmp_that_another_environment_has_overtaken_is_not_used(aws: SimpleNamespace) -> None:
    here, there = stored(aws, "a"), stored(aws, "b")
    checkpoint, _ = here.claim("j-1", JOB, owner="1", seconds=9)
    checkpoint.next_piece = 3
    here.save_local("j-1", checkpoint)
    other, source = there.claim("j-1", JOB, owner="1", seconds=9)
    assert (other.next_piece, source) == (0, "s3")
    other.next_piece = 16
    there.save("j-1", other)
    assert here.claim("j-1", JOB, owner="1", seconds=9)[0].next_piece == 16


def test_a_run_that_was_overtaken_ends_without_an_error_and_the_other_one_reports(
    aws: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = environment(aws), environment(aws, "b")
    work = slow.Totals.add

    def overtaken(totals: Totals, *given: Any, **more: Any) -> None:
        monkeypatch.setattr(Totals, "add", work)
        assert invoke(quick)["status"] == "done"  # the same event, delivered twice
        work(totals, *given, **more)

    monkeypatch.setattr(Totals, "add", overtaken)
    assert invoke(slow)["status"] == "left to another run"
    assert len(report(aws)["runs"]) == 1
    assert keys(aws) == ["reports/j-1.json"]


def test_a_job_id_belongs_to_one_job(aws: SimpleNamespace) -> None:
    checkpoints = stored(aws, "a")
    checkpoints.claim("j-1", JOB, owner="1", seconds=9)
    with pytest.raises(OtherJob, match="give a new one"):
        checkpoints.claim("j-1", {**JOB, "year": 2025}, owner="1", seconds=9)
    with pytest.raises(InProgress):
        checkpoints.claim("j-1", JOB, owner="2", seconds=9)
    checkpoints.delete("j-1")
    function = environment(aws)
    invoke(function)
    assert invoke(function)["status"] == "was done"
    with pytest.raises(OtherJob, match="'year': 2026"):
        invoke(function, {**JOB, "year": 2025})
    assert keys(aws) == ["reports/j-1.json"]


def test_the_sender_can_ask_how_far_a_job_is(aws: SimpleNamespace) -> None:
    function, asked = environment(aws), {"job_id": "j-1"}
    assert invoke(function, asked) == {"job_id": "j-1", "status": "unknown", "next_piece": None}
    with pytest.raises(Killed):
        invoke(function, dies_in=10)
    assert invoke(function, asked)["next_piece"] == 8
    invoke(function)
    assert invoke(function, asked)["status"] == "done"
    with pytest.raises(InvalidJob):
        invoke(function, {"job_id": ""})


def test_a_job_keeps_to_the_version_of_its_file(aws: SimpleNamespace) -> None:
    with pytest.raises(Killed):
        invoke(environment(aws), dies_in=9)
    aws.s3.put_object(Bucket="files", Key="bookings.csv", Body=b"2026,A,1\n")
    assert invoke(environment(aws, "b"))["status"] == "done"
    report(aws)


def test_files_and_checkpoints_are_encrypted_and_a_change_is_noticed(aws: SimpleNamespace) -> None:
    with pytest.raises(Killed):
        invoke(environment(aws), dies_in=10)
    stored_files = [one for one in (aws.tmp / "a").rglob("*") if one.is_file()]
    assert len(stored_files) == 2  # the file, and the progress
    for content in (*(one.read_bytes() for one in stored_files), checkpoint_in_s3(aws)):
        assert b"2026," not in content
        assert b"bookings" not in content
    changed = bytearray(checkpoint_in_s3(aws))
    changed[-1] ^= 1
    aws.s3.put_object(Bucket="work", Key="checkpoints/j-1", Body=bytes(changed))
    with pytest.raises(Damaged, match="checkpoints/j-1"):
        invoke(environment(aws, "b"))
    aws.s3.copy_object(Bucket="work", Key="checkpoints/j-2", CopySource="work/checkpoints/j-1")
    with pytest.raises(Damaged):
        invoke(environment(aws, "b"), {**JOB, "job_id": "j-2"})


def test_a_damaged_file_in_tmp_is_downloaded_again(aws: SimpleNamespace) -> None:
    function = environment(aws)
    invoke(function)
    (file,) = (aws.tmp / "a/scratch-space/files").iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    for number, damaged in enumerate((content, content[:-1], content[:600], b"", bytes(len(content)))):
        file.write_bytes(damaged)
        os.utime(file)
        job = {**JOB, "job_id": f"again-{number}"}
        assert invoke(function, job)["downloads"] == 1, number
        report(aws, job["job_id"])


def test_pieces_cannot_change_places(aws: SimpleNamespace) -> None:
    vault = Vault(aws.kms, aws.key, {"scratch-space": "test"})
    key, one, two = vault.new_key(), LargeFile("a", "1", PIECE * 3), LargeFile("a", "2", PIECE * 3)
    sealed = key.seal(b"x", one.name(1))
    assert key.open(sealed, one.name(1)) == b"x"
    for other in (one.name(2), two.name(1), LargeFile("a", "1", PIECE * 2).name(1)):
        with pytest.raises(Damaged):
            key.open(sealed, other)


def test_a_data_key_of_another_context_is_none_of_this_function(aws: SimpleNamespace) -> None:
    sealed = Vault(aws.kms, aws.key, {"scratch-space": "other"}).seal(b"x", "name")
    with pytest.raises(Damaged, match="no data key of this function"):
        Vault(aws.kms, aws.key, {"scratch-space": "test"}).open(sealed, "name")


def test_kms_is_asked_again_after_five_minutes(aws: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    aws.kms.meta.events.register("before-call.kms", lambda model, **_: asked.append(model.name))
    vault = Vault(aws.kms, aws.key, {"scratch-space": "test"})
    for _ in range(2):
        assert vault.open(vault.seal(b"x", "name"), "name") == b"x"
    assert asked == ["GenerateDataKey", "Decrypt"]
    monkeypatch.setattr("delivery.scratch_space.vault.time.time", lambda: 4e9)
    assert vault.open(vault.seal(b"x", "name"), "name") == b"x"
    assert asked == ["GenerateDataKey", "Decrypt"] * 2


def stored(aws: SimpleNamespace, name: str) -> Checkpoints:
    vault = Vault(aws.kms, aws.key, {"scratch-space": "test"})
    return Checkpoints(aws.s3, "work", vault, aws.tmp / name)


def checkpoint_in_s3(aws: SimpleNamespace) -> bytes:
    body: bytes = aws.s3.get_object(Bucket="work", Key="checkpoints/j-1")["Body"].read()
    return body


def cache(aws: SimpleNamespace, max_bytes: int) -> Cache:
    vault = Vault(aws.kms, aws.key, {"scratch-space": "test"})
    return Cache(aws.s3, "files", vault, aws.tmp / "files", max_bytes)


def test_the_least_recently_used_file_makes_room(aws: SimpleNamespace) -> None:
    small = cache(aws, 30_000)
    for name in ("one", "two", "three"):
        aws.s3.put_object(Bucket="files", Key=name, Body=bytes(10_000))
    one, two, three = (small.newest(name) for name in ("one", "two", "three"))
    for age, file in enumerate((one, two)):
        small.piece(file, 0)
        os.utime(small._path(file), (age, age))
    small.piece(one, 1)
    small.piece(three, 0)  # the second one goes
    assert small.downloads == 3
    assert (small.piece(one, 0), small.downloads) == (bytes(PIECE), 3)
    assert (small.piece(two, 2), small.downloads) == (bytes(10_000 - 2 * PIECE), 4)


def test_a_file_that_cannot_fit_or_be_read_is_refused(aws: SimpleNamespace) -> None:
    small = cache(aws, 30_000)
    with pytest.raises(TooLarge, match=r"bookings.csv: .* bytes, and the cache may hold 30,000; raise"):
        small.piece(small.newest("bookings.csv"), 0)
    with pytest.raises(NoSuchFile, match="none: it is not in the bucket, or"):
        small.newest("none")
    with pytest.raises(NoSuchFile, match="version 0-0 has been deleted"):
        small.piece(LargeFile("bookings.csv", "0-0", 10), 0)
    aws.s3.put_object(Bucket="work", Key="plain", Body=b"")
    small._bucket = "work"
    with pytest.raises(NoSuchFile, match="turn on versioning"):
        small.newest("plain")


def test_a_download_that_ends_early_leaves_nothing(
    aws: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = cache(aws, 10**6)
    file = large.newest("bookings.csv")
    answer = {"Body": SimpleNamespace(read=lambda _size: b"x")}
    with monkeypatch.context() as patch:
        patch.setattr(aws.s3, "get_object", lambda **_given: answer)
        with pytest.raises(ConnectionError, match="ended in piece 0"):
            large.piece(file, 0)
    assert list((aws.tmp / "files").iterdir()) == []
    (aws.tmp / "files/x.part").touch()  # of an environment that was killed
    assert cache(aws, 10**6).piece(file, 0) == TEXT[:PIECE]
    assert len(list((aws.tmp / "files").iterdir())) == 1


def test_a_full_tmp_first_costs_the_other_files(
    aws: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = cache(aws, 10**6)
    aws.s3.put_object(Bucket="files", Key="one", Body=bytes(10_000))
    large.piece(large.newest("one"), 0)
    write, full = Path.open, aws.tmp / "files"

    def open_(path: Path, mode: str = "r") -> Any:
        if mode == "wb" and len(list(full.iterdir())) > 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, mode)

    monkeypatch.setattr(Path, "open", open_)
    file = large.newest("bookings.csv")
    assert large.piece(file, 0) == TEXT[:PIECE]
    full = aws.tmp  # always full
    with pytest.raises(TooLarge, match="has no room for its"):
        large.piece(large.newest("one"), 0)


IN_A_FULL_TMP = """
import io, pathlib, sys
from types import SimpleNamespace
from delivery.scratch_space.cache import Cache, LargeFile, TooLarge

class Key:
    header = b""
    def seal(self, data, name): return bytes(12) + data + bytes(16)
    def open(self, sealed, name): return sealed[12:-16]

key = Key()
vault = SimpleNamespace(new_key=lambda: key, key_in=lambda start: key)
s3 = SimpleNamespace(
    get_object=lambda **asked: {"Body": io.BytesIO(bytes(10**6 if asked["Key"] == "four" else 400_000))},
    exceptions=SimpleNamespace(ClientError=Exception),
)
cache = Cache(s3, "files", vault, pathlib.Path("/tmp/files"), 10**9)
one, two, three = (LargeFile(name, "1", 400_000) for name in ("one", "two", "three"))
cache.piece(one, 0), cache.piece(two, 0), cache.piece(three, 0)
print(sorted(path.name for path in pathlib.Path("/tmp/files").iterdir()) ==
      sorted(cache._path(file).name for file in (two, three)))
with open("/tmp/other", "wb") as other:  # something else of the function
    try:
        while True: other.write(bytes(10_000)); other.flush()
    except OSError: pass
try:
    cache.piece(LargeFile("four", "1", 1_000_000), 0)
except TooLarge as reason:
    print(reason)
print(list(pathlib.Path("/tmp/files").iterdir()))
"""


@pytest.mark.skipif(not namespaces.available(), reason="this machine has no namespaces")
def test_in_a_tmp_of_one_megabyte_files_make_room_and_nothing_is_left_of_a_failed_download() -> None:
    # Not by their own paths, which may be below the host's /tmp.
    code, packages = Path(__file__).parents[3] / "lambda_src", Path(sysconfig.get_path("purelib"))
    system = namespaces.FileSystem(code, None, scratch=1, files={str(namespaces.RUNTIME): packages})
    command = system.command(str(namespaces.INTERPRETER), "-c", IN_A_FULL_TMP)
    variables = {**os.environ, "PYTHONPATH": f"{namespaces.TASK}:{namespaces.RUNTIME}"}
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines() == ["True", "four: /tmp has no room for its 1,000,448 bytes", "[]"], (
        ran.stderr
    )


@settings(max_examples=50)
@given(
    st.lists(st.binary(max_size=30) | st.just(b"\n") | st.just(b"2026,A,5\n"), max_size=20), st.integers(1, 9)
)
def test_totals_do_not_depend_on_where_pieces_end(parts: list[bytes], size: int) -> None:
    text = b"".join(parts)
    whole, pieces = Totals(), Totals()
    whole.add(text, 2026, last=True)
    cuts = [text[start : start + size] for start in range(0, len(text), size)] or [b""]
    for number, cut in enumerate(cuts):
        pieces = Totals(**json.loads(json.dumps(pieces.as_dict())))  # through a checkpoint
        pieces.add(cut, 2026, last=number == len(cuts) - 1)
    assert asdict(pieces) == asdict(whole)
    assert whole.lines == len(text.split(b"\n")) - (text[-1:] in (b"\n", b""))


BAD = """\
2026,A
x,A,1
2026,\u00e9,1
2026,A,x
2023,A,abc
2026,A,1_000
2_026,A,1
2026,,1
 2026,A,1
2026,A,9999999999999999
2026,A,1,2
"""
LONG = f"2026,{'A' * 65},1\n2026,A,{'1' * 10_000}\n"


def test_the_totals_are_bounded_whatever_the_file_has() -> None:
    totals = Totals()
    for _ in range(100):
        totals.add(b"x" * 1000, 2026, last=False)
        assert len(totals.rest) < 1000
    totals.add(b"\n2026,A,1", 2026, last=True)
    assert (totals.cents, totals.lines, totals.bad_lines) == ({"A": 1}, 2, 1)
    many = "".join(f"2026,{number},1\n" for number in range(10_000)).encode()
    totals = Totals()
    totals.add(many, 2026, last=False)
    totals.add(b"2025,other,1\n", 2026, last=False)
    with pytest.raises(TooManyBranches, match=r"2026 has more than 10,000 branches; .* split the file"):
        totals.add(b"2026,other,1\n", 2026, last=True)


def test_a_bad_line_costs_that_line_only() -> None:
    totals = Totals()
    totals.add(f"2026,A,5\r\n{BAD}{LONG}2025,A,7\n2026,B 2,-1".encode(), 2026, last=True)
    assert totals == Totals({"A": 5, "B 2": -1}, lines=16, bad_lines=13)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ([], "a job is a JSON object"),
        ({**JOB, "job_id": "../x"}, "job_id must be 1 to 128 letters"),
        ({**JOB, "job_id": ""}, "job_id"),
        ({**JOB, "job_id": "x\n"}, "job_id"),
        ({**JOB, "file": ""}, "file must be the key"),
        ({**JOB, "file": "x" * 1025}, "file"),
        ({**JOB, "file": "\ud800"}, "file must be .* UTF-8"),
        ({**JOB, "year": "2026"}, "year must be"),
        ({**JOB, "year": True}, "year"),
        ({**JOB, "pause": -1}, "pause must be"),
    ],
)
def test_what_is_no_job_is_refused_with_what_to_change(event: object, words: str) -> None:
    with pytest.raises(InvalidJob, match=words):
        Job.parse(event)
