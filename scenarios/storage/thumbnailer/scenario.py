"""Photographs and malicious files → a deployed thumbnailer → thumbnails, rows, failure messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from scenarios.framework import (
    BilledEvent,
    Covered,
    DeployedStack,
    NotYet,
    Outcome,
    ScenarioFailed,
    Story,
    require,
)
from scenarios.storage.thumbnailer import contact_sheet, pictures
from scenarios.storage.thumbnailer.driver import Thumbnailer, keys_in
from scenarios.storage.thumbnailer.hostile import HostileFile, hostile_files
from scenarios.storage.thumbnailer.pictures import PHOTOGRAPHS, Photograph, photograph
from scenarios.support.faults import Faults
from scenarios.support.redrive import FailedEvent, redrive

# Properties that the embedded AWS accepts but does not emulate, and why the scenario proves its facts anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}


@dataclass(frozen=True)
class Upload:
    """A photograph in the source bucket."""

    photograph: Photograph
    key: str
    data: bytes
    version: str


def run(stack: DeployedStack) -> Outcome:
    """Upload photographs of every format and malicious files; check thumbnails, rows and failure messages.

    Raises:
        ScenarioFailed: A result is not as expected.
    """
    story = Story("Photographs become thumbnails", stack.tell)
    with Thumbnailer(stack) as thumbnailer:
        with story.timed("thumbnails"):
            uploads = _upload_photographs(thumbnailer, story)
            hostile = _upload_hostile_files(thumbnailer, story)
            elsewhere = f"elsewhere/{thumbnailer.run_id}.jpg"
            thumbnailer.upload(elsewhere, photograph("cat.webp"))
            rows = [thumbnailer.wait_for_row(one.key, one.version) for one in uploads]
        files = _check_thumbnails(thumbnailer, story, uploads, rows, stack.out / "thumbnailer")
        with story.timed("failures"):
            _check_failures(thumbnailer, story, hostile)
        first, second, third, *_ = uploads
        _check_overwrites(stack, thumbnailer, story, first)
        _check_repeated_and_late_events(thumbnailer, story, second)
        _check_overwriting_with_text(thumbnailer, story, third)
        with story.timed("deletion"):
            _check_deletion(stack, thumbnailer, story, [one.key for one in uploads if one is not third])
        require(thumbnailer.row(elsewhere) is None, f"{elsewhere} is outside the prefix and has a row")
        story.say(f"Uploaded {elsewhere}, outside the prefix: nothing happened.")
        failed = thumbnailer.failures.poll()
        require(len(failed) == len(hostile) + 1, f"more failures than malicious files: {_reasons(failed)}")
    return story.outcome(files)


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the function once.

    Raises:
        ScenarioFailed: A result is not as expected.
    """
    with Thumbnailer(stack) as thumbnailer:
        key = thumbnailer.prefix + "cat.webp"
        row = thumbnailer.wait_for_row(key, thumbnailer.upload(key, photograph("cat.webp")))
        thumbnailer.thumbnails(row)
        letter = hostile_files()[1]
        thumbnailer.upload(thumbnailer.prefix + letter.name, letter.data)
        thumbnailer.failures.wait_for(1)
        thumbnailer.delete([key])
        thumbnailer.wait_until_gone(key, row)


def one_photograph(stack: DeployedStack) -> None:
    """Upload a photograph; it stays, because its deletion would be another event."""
    thumbnailer = Thumbnailer(stack)
    key = f"{thumbnailer.prefix}cat.webp"
    thumbnailer.wait_for_row(key, thumbnailer.upload(key, photograph("cat.webp")))


EVENT = BilledEvent("a photograph is uploaded", one_photograph)

ROLES = (Covered(role_of="FunctionName", scenario=smoke),)


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Fail one event by a missing permission and one by a limit; remove both causes and redrive the events.

    Raises:
        ScenarioFailed: A result is not as expected.
    """
    story = Story("Failed events wait in the queue and are redriven", stack.tell)
    with Thumbnailer(stack) as thumbnailer:
        uploads = [
            _fail_by_missing_permission(thumbnailer, story, faults),
            _fail_by_limit(thumbnailer, story, faults),
        ]
        thumbnailer.failures.release()
        report = redrive(
            stack.session,
            queue_url=thumbnailer.queue_url,
            function_name=thumbnailer.function,
            limit=len(uploads),
        )
        require(report.resent == 2 and not report.left, f"the redrive did not resend 2 events: {report}")
        story.fact("redriven", report.resent)
        story.say("Restored the permission and the limit; a redrive resent both events.")
        for key, version in uploads:
            row = thumbnailer.wait_for_row(key, version)
            require(len(thumbnailer.thumbnails(row)) == len(thumbnailer.sizes), f"{key}: thumbnails missing")
        left = thumbnailer.failures.poll()
        require(not left, f"the failure queue is not empty after the redrive: {_reasons(left)}")
        story.fact("failures left", len(left))
        story.say("Both photographs have their thumbnails, and the failure queue is empty.")
    return story.outcome()


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what run and drill left behind in the buckets, the table and the queue: ``kind: thing``."""
    s3, queue = stack.client("s3"), stack.output("FailureQueueUrl")
    versions = s3.list_object_versions(Bucket=stack.output("SourceBucketName"))
    thumbnails = s3.list_objects_v2(Bucket=stack.output("DestinationBucketName"))
    rows = stack.client("dynamodb").scan(TableName=stack.output("TableName"))
    messages = stack.client("sqs").receive_message(QueueUrl=queue, VisibilityTimeout=0)
    found = {
        "version": versions.get("Versions", []),
        "delete marker": versions.get("DeleteMarkers", []),
        "thumbnail": thumbnails.get("Contents", []),
        "row": rows["Items"],
        "message": messages.get("Messages", []),
    }
    return [f"{kind}: {thing}" for kind, things in found.items() for thing in things]


# --- The steps of a run


def _upload_photographs(thumbnailer: Thumbnailer, story: Story) -> list[Upload]:
    uploads = []
    for one in PHOTOGRAPHS:
        data = photograph(one.file)
        key = thumbnailer.prefix + one.name
        if one.name.endswith("/"):  # fill the key to 1,024 bytes, with characters of two bytes in UTF-8
            room = 1024 - len(f"{key}.webp")
            key = f"{key}{'é' * (room // 2)}{'x' * (room % 2)}.webp"
        uploads.append(Upload(one, key, data, thumbnailer.upload(key, data)))
        story.say(f"Uploaded {one.file}: {one.shows}.")
    story.fact("photographs", len(uploads))
    return uploads


def _upload_hostile_files(thumbnailer: Thumbnailer, story: Story) -> dict[str, HostileFile]:
    hostile = {thumbnailer.prefix + one.name: one for one in hostile_files()}
    for key, file in hostile.items():
        thumbnailer.upload(key, file.data)
    story.say(f"Uploaded files that are not pictures: {'; '.join(file.what for file in hostile.values())}.")
    return hostile


def _check_thumbnails(
    thumbnailer: Thumbnailer, story: Story, uploads: list[Upload], rows: list[dict[str, Any]], folder: Path
) -> list[Path]:
    """Compare every thumbnail with the reference; save them, and a sheet of all, for a person to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    files, sheet, worst = [], [], 0.0
    for one, row in zip(uploads, rows, strict=True):
        _check_row(one, row, thumbnailer.sizes)
        made = thumbnailer.thumbnails(row)
        for size, thumbnail in zip(thumbnailer.sizes, made, strict=True):
            worst = max(worst, _check_picture(one, size, thumbnail.picture))
            files.append(folder / f"{Path(one.photograph.file).stem}-{size}.webp")
            files[-1].write_bytes(thumbnail.data)
        caption = f"{one.photograph.file}: {one.photograph.shows}"
        shown = [thumbnail.picture for thumbnail in made]
        sheet.append(contact_sheet.SheetRow(caption, pictures.upright(one.data), shown))
    story.fact("thumbnails", len(files))
    story.say(
        f"{len(files)} thumbnails were made, in sizes {', '.join(map(str, thumbnailer.sizes))}, none larger "
        f"than its original; the largest difference from the reference is {worst / 2.55:.1f} %."
    )
    title = "Originals and their thumbnails"
    return [contact_sheet.draw(title, sheet, folder / "contact-sheet.png"), *files]


def _check_row(one: Upload, row: dict[str, Any], sizes: tuple[int, ...]) -> None:
    name, picture = one.photograph.file, pictures.upright(one.data)
    seen = (int(row["width"]), int(row["height"]), int(row["size_bytes"]))
    expected = (picture.width, picture.height, len(one.data))
    require(seen == expected, f"row of {name}: width, height, bytes are {seen}, not {expected}")
    made = tuple(int(entry["size"]) for entry in row["thumbnails"])
    require(made == sizes, f"row of {name}: sizes are {made}, not {sizes}")


def _check_picture(one: Upload, size: int, thumbnail: Image.Image) -> float:
    """Compare a thumbnail with the reference; return the difference, 0 to 255."""
    reference = pictures.reference(one.data, size)
    name = f"{one.photograph.file} at {size}"
    require(thumbnail.format == "WEBP", f"{name}: the thumbnail is {thumbnail.format}, not WEBP")
    require(thumbnail.size == reference.size, f"{name}: {thumbnail.size} pixels, not {reference.size}")
    difference, tolerance = pictures.difference(thumbnail, reference), pictures.TOLERANCE
    require(difference <= tolerance, f"{name}: differs from the reference by {difference:.1f} > {tolerance}")
    return difference


def _check_failures(thumbnailer: Thumbnailer, story: Story, hostile: dict[str, HostileFile]) -> None:
    failed = thumbnailer.failures.wait_for(len(hostile))
    by_key = {key: one for one in failed for key in keys_in(one)}
    require(
        len(failed) == len(by_key) and set(by_key) == set(hostile),
        f"expected one message for each malicious file: {_reasons(failed)}",
    )
    for key, file in hostile.items():
        one = by_key[key]
        require(one.condition == "PermanentFailure", f"{file.what}: condition {one.condition}: {one.reason}")
        require(one.reason.startswith(f"{file.error_type}: "), f"{file.what}: the reason is {one.reason}")
        require(thumbnailer.row(key) is None, f"{file.what}: it has a row")
        story.say(f"One message in the failure queue, without a retry, for {file.what}: {one.reason}.")
    story.fact("permanent failures", len(failed))


def _check_overwrites(stack: DeployedStack, thumbnailer: Thumbnailer, story: Story, first: Upload) -> None:
    """Upload three versions at once: whatever order their events arrive in, the newest one counts."""
    *_, newest = (
        thumbnailer.upload(first.key, photograph(file))
        for file in ("cat.webp", "coffee-two-frames.gif", "astronaut.avif")
    )
    row = thumbnailer.wait_for_row(first.key, newest)
    upload = Upload(first.photograph, first.key, photograph("astronaut.avif"), newest)

    def check() -> None:
        for size, thumbnail in zip(thumbnailer.sizes, thumbnailer.thumbnails(row), strict=True):
            try:
                _check_picture(upload, size, thumbnail.picture)
            except ScenarioFailed as wrong:
                raise NotYet(f"{wrong}") from wrong

    # An invocation for an older version may write last. It looks again, and makes the thumbnails anew.
    stack.wait_until(check, f"thumbnails of {first.key}, version {newest}")
    story.say("Overwrote a photograph three times in a row: the thumbnails are those of the newest version.")


def _check_repeated_and_late_events(thumbnailer: Thumbnailer, story: Story, one: Upload) -> None:
    """Repeat the event, then deliver one about an earlier deletion: neither may change anything."""
    row = thumbnailer.wait_for_row(one.key, one.version)
    written = thumbnailer.written(row)
    thumbnailer.invoke(thumbnailer.event("ObjectCreated:Put", one.key, row, str(row["sequencer"])))
    require(thumbnailer.row(one.key) == row, f"{one.key}: a duplicate of its event changed the row")
    require(thumbnailer.written(row) == written, f"{one.key}: a duplicate of its event wrote thumbnails")
    story.say("Delivered an event a second time: nothing was written.")
    earlier = "0" * len(str(row["sequencer"]))
    thumbnailer.invoke(thumbnailer.event("ObjectRemoved:DeleteMarkerCreated", one.key, row, earlier))
    after = thumbnailer.row(one.key)
    require(after is not None and after["version_id"] == one.version, f"{one.key}: a late event won: {after}")
    thumbnailer.thumbnails(row)  # they still exist
    story.say("Delivered the event of an earlier deletion late: row and thumbnails are still there.")


def _check_overwriting_with_text(thumbnailer: Thumbnailer, story: Story, one: Upload) -> None:
    """No thumbnail may show what is no longer in the bucket."""
    row = thumbnailer.wait_for_row(one.key, one.version)
    count = len(thumbnailer.failures.poll())
    thumbnailer.upload(one.key, b"no longer a picture")
    thumbnailer.wait_until_gone(one.key, row)
    thumbnailer.failures.wait_for(count + 1)
    story.say("Overwrote a photograph with text: its thumbnails are deleted, the failure is in the queue.")


def _check_deletion(stack: DeployedStack, thumbnailer: Thumbnailer, story: Story, keys: list[str]) -> None:
    rows = {key: row for key in keys if (row := thumbnailer.row(key)) is not None}
    require(len(rows) == len(keys), f"rows are missing before the deletion: {set(keys) - set(rows)}")
    thumbnailer.delete(keys)
    for key, row in rows.items():
        thumbnailer.wait_until_gone(key, row)

    def check() -> None:
        if left := thumbnailer.in_destination():
            raise NotYet(f"left in the destination bucket: {', '.join(left)}")

    # An invocation for an older version may still write. It looks again, and deletes what it has written.
    stack.wait_until(check, "an empty destination bucket")
    story.fact("thumbnails left", len(thumbnailer.in_destination()))
    story.say(f"Deleted the {len(keys)} photographs: their thumbnails and rows are deleted.")


# --- The steps of the drill


def _fail_by_missing_permission(thumbnailer: Thumbnailer, story: Story, faults: Faults) -> tuple[str, str]:
    key = thumbnailer.prefix + "no permission.webp"
    with faults.without_permission(thumbnailer.role, "s3:PutObject"), story.timed("three attempts"):
        version = thumbnailer.upload(key, photograph("cat.webp"))
        [failed] = thumbnailer.failures.wait_for(1)
    seen = f"{failed.condition} after {failed.attempts} attempts"
    require(seen == "RetriesExhausted after 3 attempts", f"{seen}: {failed.reason}")
    require("AccessDenied" in failed.reason, f"the reason should be AccessDenied: {failed.reason}")
    story.fact("without permission", seen)
    brief = failed.reason.partition(": User:")[0]  # the rest is the ARN of the role
    story.say(
        f"Removed s3:PutObject from the role: Lambda sent the event to the queue after 3 attempts: {brief}."
    )
    return key, version


def _fail_by_limit(thumbnailer: Thumbnailer, story: Story, faults: Faults) -> tuple[str, str]:
    key = thumbnailer.prefix + "over the limit.webp"
    with faults.environment(thumbnailer.function, MAX_OBJECT_SIZE="1000"):
        version = thumbnailer.upload(key, photograph("cat.webp"))
        failed = next(one for one in thumbnailer.failures.wait_for(2) if key in keys_in(one))
    require(
        failed.condition == "PermanentFailure", f"{failed.condition}, not PermanentFailure: {failed.reason}"
    )
    story.fact("over the limit", failed.condition)
    story.say(
        f"Set a limit of 1,000 bytes: the function sent the event to the queue at once: {failed.reason}."
    )
    return key, version


def _reasons(failed: list[FailedEvent]) -> str:
    return "; ".join(f"{', '.join(keys_in(one))}: {one.reason}" for one in failed) or "none"
