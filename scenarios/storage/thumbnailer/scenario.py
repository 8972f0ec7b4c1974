"""Sends photographs and hostile files to a deployed thumbnailer, and checks everything that comes out."""

from __future__ import annotations

from collections.abc import Mapping

from scenarios.framework import DeployedStack, Outcome, Story, require
from scenarios.storage import pictures
from scenarios.storage.hostile import HostileFile, hostile_files
from scenarios.storage.pictures import PHOTOGRAPHS
from scenarios.storage.thumbnail_checks import Sent, check_picture, check_thumbnails
from scenarios.storage.thumbnails import Thumbnailer, keys_in
from scenarios.support.faults import Faults
from scenarios.support.redrive import FailedEvent, redrive

# What the embedded AWS accepts and does not do, and why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}


def run(stack: DeployedStack) -> Outcome:
    """Photographs of every format and hostile files in; thumbnails, rows and failure messages out.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("Photographs become thumbnails", stack.tell)
    with Thumbnailer(stack) as thumbnailer:
        with story.timed("thumbnails"):
            sent = _send_photographs(thumbnailer, story)
            hostile = _send_hostile_files(thumbnailer, story)
            elsewhere = f"elsewhere/{thumbnailer.run_id}.jpg"
            thumbnailer.send(elsewhere, pictures.photograph("cat.webp"))
            rows = [thumbnailer.wait_for_row(one.key, one.version) for one in sent]
        files = check_thumbnails(thumbnailer, story, sent, rows, stack.out / "thumbnailer")
        with story.timed("failures"):
            _check_failures(thumbnailer, story, hostile)
        _check_overwrites(thumbnailer, story, sent[0])
        _check_duplicates(thumbnailer, story, sent[1])
        _check_spoiling(thumbnailer, story, sent[2])
        with story.timed("removal"):
            _check_removal(thumbnailer, story, [one.key for one in sent if one is not sent[2]])
        require(thumbnailer.row(elsewhere) is None, f"{elsewhere} is outside of the prefix and has a row")
        story.say(f"Nothing happened to {elsewhere}, which is outside of the watched prefix.")
        failed = thumbnailer.failures.poll()
        require(len(failed) == len(hostile) + 1, f"more failures than hostile files: {_reasons(failed)}")
    return story.outcome(files)


def smoke(stack: DeployedStack) -> None:
    """The shortest way past everything that the function may do: for checks that repeat it often.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    with Thumbnailer(stack) as thumbnailer:
        key = thumbnailer.prefix + "cat.webp"
        row = thumbnailer.wait_for_row(key, thumbnailer.send(key, pictures.photograph("cat.webp")))
        thumbnailer.thumbnails(row)
        letter = hostile_files()[1]
        thumbnailer.send(thumbnailer.prefix + letter.name, letter.data)
        thumbnailer.failures.wait_for(1)
        thumbnailer.remove([key])
        thumbnailer.wait_until_gone(key, row)


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Failures of both kinds are kept in the queue, and a redrive ends them well once the cause is mended.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("A failure is kept until it is mended", stack.tell)
    with Thumbnailer(stack) as thumbnailer:
        sent = [
            _fail_for_want_of_a_permission(thumbnailer, story, faults),
            _fail_for_a_limit(thumbnailer, story, faults),
        ]
        thumbnailer.failures.release()
        report = redrive(
            stack.session,
            queue_url=thumbnailer.queue_url,
            function_name=thumbnailer.function,
            limit=len(sent),
        )
        require(report.resent == 2 and not report.left, f"the redrive was to resend 2 events: {report}")
        story.say("Restored the permission and the limit; a redrive sent both events again.")
        for key, version in sent:
            row = thumbnailer.wait_for_row(key, version)
            require(len(thumbnailer.thumbnails(row)) == len(thumbnailer.sizes), f"{key}: thumbnails missing")
        require(not thumbnailer.failures.poll(), "the failure queue is not empty after the redrive")
        story.say("Both photographs have their thumbnails now, and the failure queue is empty.")
    return story.outcome()


# --- The parts of a run


def _send_photographs(thumbnailer: Thumbnailer, story: Story) -> list[Sent]:
    sent = []
    for one in PHOTOGRAPHS:
        data = pictures.photograph(one.file)
        key = thumbnailer.prefix + one.name
        if one.name.endswith("/"):  # as long as a key may be; of characters that take two bytes each in UTF-8
            room = 1024 - len(f"{key}.webp")
            key = f"{key}{'é' * (room // 2)}{'x' * (room % 2)}.webp"
        sent.append(Sent(one, key, data, thumbnailer.send(key, data)))
        story.say(f"Sent {one.file}: {one.shows}.")
    return sent


def _send_hostile_files(thumbnailer: Thumbnailer, story: Story) -> dict[str, HostileFile]:
    hostile = {thumbnailer.prefix + one.name: one for one in hostile_files()}
    for key, file in hostile.items():
        thumbnailer.send(key, file.data)
    story.say(f"Sent what is no picture: {'; '.join(file.what for file in hostile.values())}.")
    return hostile


def _check_failures(thumbnailer: Thumbnailer, story: Story, hostile: dict[str, HostileFile]) -> None:
    failed = thumbnailer.failures.wait_for(len(hostile))
    by_key = {key: one for one in failed for key in keys_in(one)}
    require(
        len(failed) == len(by_key) and set(by_key) == set(hostile),
        f"one message for each hostile file was expected: {_reasons(failed)}",
    )
    for key, file in hostile.items():
        one = by_key[key]
        require(one.condition == "PermanentFailure", f"{file.what}: condition {one.condition}: {one.reason}")
        require(one.reason.startswith(f"{file.error_type}: "), f"{file.what}: the reason is {one.reason}")
        require(thumbnailer.row(key) is None, f"{file.what}: it has a row")
        story.say(f"In the failure queue, once, without a retry: {file.what}: {one.reason}.")


def _check_overwrites(thumbnailer: Thumbnailer, story: Story, first: Sent) -> None:
    """Three versions at once: whatever order their events come in, the newest is what is left."""
    *_, newest = (
        thumbnailer.send(first.key, pictures.photograph(file))
        for file in ("cat.webp", "coffee-two-frames.gif", "astronaut.avif")
    )
    row = thumbnailer.wait_for_row(first.key, newest)
    sent = Sent(first.photograph, first.key, pictures.photograph("astronaut.avif"), newest)
    for size, thumbnail in zip(thumbnailer.sizes, thumbnailer.thumbnails(row), strict=True):
        check_picture(sent, size, thumbnail.picture)
    story.say("Overwrote a photograph three times in a row: the thumbnails are those of the newest version.")


def _check_duplicates(thumbnailer: Thumbnailer, story: Story, one: Sent) -> None:
    """The event again, and one about a deletion long before it: neither may change anything."""
    row = thumbnailer.row(one.key)
    assert row is not None  # it was waited for
    written = thumbnailer.written(row)
    thumbnailer.invoke(thumbnailer.event("ObjectCreated:Put", one.key, row, str(row["sequencer"])))
    require(thumbnailer.row(one.key) == row, f"{one.key}: a duplicate of its event changed the row")
    require(thumbnailer.written(row) == written, f"{one.key}: a duplicate of its event wrote thumbnails")
    story.say("Delivered an event a second time: nothing was written.")
    earlier = "0" * len(str(row["sequencer"]))
    thumbnailer.invoke(thumbnailer.event("ObjectRemoved:DeleteMarkerCreated", one.key, row, earlier))
    after = thumbnailer.row(one.key)
    require(after is not None and after["version_id"] == one.version, f"{one.key}: a late event won: {after}")
    thumbnailer.thumbnails(row)  # they are still there
    story.say("Delivered an event about a deletion before the upload, late: photograph and thumbnails stay.")


def _check_spoiling(thumbnailer: Thumbnailer, story: Story, one: Sent) -> None:
    """No thumbnail may show what is no longer in the bucket."""
    row = thumbnailer.row(one.key)
    assert row is not None  # it was waited for
    count = len(thumbnailer.failures.poll())
    thumbnailer.send(one.key, b"no picture any more")
    thumbnailer.wait_until_gone(one.key, row)
    thumbnailer.failures.wait_for(count + 1)
    story.say("Overwrote a photograph with a text: its thumbnails are gone, and the failure is in the queue.")


def _check_removal(thumbnailer: Thumbnailer, story: Story, keys: list[str]) -> None:
    rows = {key: row for key in keys if (row := thumbnailer.row(key)) is not None}
    require(len(rows) == len(keys), f"rows are missing before the removal: {set(keys) - set(rows)}")
    thumbnailer.remove(keys)
    for key, row in rows.items():
        thumbnailer.wait_until_gone(key, row)
    left = thumbnailer.in_destination()
    require(not left, f"left in the destination bucket: {', '.join(left)}")
    story.say(f"Deleted the {len(keys)} photographs: thumbnails and rows are gone.")


# --- The parts of the drill


def _fail_for_want_of_a_permission(thumbnailer: Thumbnailer, story: Story, faults: Faults) -> tuple[str, str]:
    key = thumbnailer.prefix + "no permission.webp"
    with faults.without_permission(thumbnailer.role, "s3:PutObject"), story.timed("three attempts"):
        version = thumbnailer.send(key, pictures.photograph("cat.webp"))
        [failed] = thumbnailer.failures.wait_for(1)
    require(
        failed.condition == "RetriesExhausted" and failed.attempts == 3,
        f"{failed.condition} after {failed.attempts} attempts, not RetriesExhausted after 3: {failed.reason}",
    )
    brief = failed.reason.partition(": User:")[0]  # who was denied what: the role's whole ARN
    require("AccessDenied" in failed.reason, f"the reason should say AccessDenied: {failed.reason}")
    story.say(f"Took s3:PutObject from the function's role: after 3 attempts Lambda kept it: {brief}.")
    return key, version


def _fail_for_a_limit(thumbnailer: Thumbnailer, story: Story, faults: Faults) -> tuple[str, str]:
    key = thumbnailer.prefix + "over the limit.webp"
    with faults.environment(thumbnailer.function, MAX_OBJECT_SIZE="1000"):
        version = thumbnailer.send(key, pictures.photograph("cat.webp"))
        failed = next(one for one in thumbnailer.failures.wait_for(2) if key in keys_in(one))
    require(
        failed.condition == "PermanentFailure", f"{failed.condition}, not PermanentFailure: {failed.reason}"
    )
    story.say(f"Set a limit of 1,000 bytes: the function itself kept the event, at once: {failed.reason}.")
    return key, version


def _reasons(failed: list[FailedEvent]) -> str:
    return "; ".join(f"{', '.join(keys_in(one))}: {one.reason}" for one in failed) or "none"
