"""A job → its checkpoint in S3, for other environments, and in /tmp, newer, for this one.

The checkpoint in S3 has one owner. Each write names the version that it replaces (`If-Match`), so a run that
another one has taken over from cannot write any more, whatever it still does.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import json
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .vault import Damaged, Vault


class InProgress(Exception):
    """Another event for this job is being worked on, or its invocation was killed a moment ago.

    Which of the two is not known, so this event must fail: counted as done, it would be lost if the other
    one is dead. It is retried, and may end in the failure queue; a redrive finds the report, or does the job.
    """


class Superseded(Exception):
    """Another run has taken over the job: this one must stop."""


class OtherJob(ValueError):
    """The job id belongs to a job with other parameters."""

    def __init__(self, job_id: str, other: object) -> None:
        super().__init__(f"job_id {job_id}: this is the id of another job, {other}; give a new one")


@dataclass
class Checkpoint:
    """How far a job has come.

    Args:
        job: Its parameters.
        next_piece: The first piece of the file that is not counted.
        work: What the work keeps between pieces.
        runs: Who has worked on it, and from where.
        owner: The request id of the event that is being worked on; empty between two of them.
        expires: When its invocation ends at the latest, in seconds since 1970.
        run: This run: a second delivery of the same event is another one.
    """

    job: dict[str, Any]
    next_piece: int = 0
    work: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    owner: str = ""
    expires: float = 0
    run: str = ""


class Checkpoints:
    """Reads and writes checkpoints.

    Args:
        s3: A client of S3.
        bucket: The bucket.
        vault: Encrypts them.
        folder: A folder below `/tmp`.
    """

    def __init__(self, s3: Any, bucket: str, vault: Vault, folder: Path) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._vault = vault
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._tag: str | None = None  # of the version in S3 on which the current run is based

    def claim(
        self, job_id: str, job: dict[str, Any], *, owner: str, seconds: float
    ) -> tuple[Checkpoint, str]:
        """Take over a job; return its checkpoint, and where that is from: `s3`, `tmp` or `start`.

        Attempts of one event have one request id, and Lambda makes the next one when the last is over: its
        owner may go on at once. Another event has to wait until the invocation of the owner must have ended.

        Args:
            job_id: The job.
            job: Its parameters.
            owner: The request id.
            seconds: How long the invocation may take.

        Raises:
            InProgress: Another event is being worked on.
            OtherJob: The job id is taken by a job that has begun.
            Damaged: Something else than this function has written the checkpoint.
        """
        stored, self._tag = self._read(job_id)
        owned = stored is not None and stored.owner != "" and stored.expires > time.time()
        if stored and stored.job != job:
            if stored.next_piece or owned:
                raise OtherJob(job_id, stored.job)
            stored = None  # it failed before its first piece: a wrong name of a file does not take the id
        if stored and owned and stored.owner != owner:
            raise InProgress(
                f"job {job_id} is worked on by request {stored.owner}, or was until that was killed; send it "
                f"again after {time.strftime('%H:%M:%S', time.gmtime(stored.expires))} UTC"
            )
        checkpoint, source = stored or Checkpoint(job), "s3" if stored else "start"
        newer = self._read_local(job_id)
        if newer and newer.job == job:
            checkpoint, source = newer, "tmp"
        checkpoint.owner, checkpoint.expires = owner, time.time() + seconds
        checkpoint.run = uuid.uuid4().hex
        self.save(job_id, checkpoint)
        return checkpoint, source

    def give_up(self, job_id: str, checkpoint: Checkpoint) -> None:
        """Let any event go on with the job at once.

        Raises:
            Superseded: Another run has taken it over.
        """
        checkpoint.owner = ""
        self.save(job_id, checkpoint)

    def next_piece(self, job_id: str) -> int | None:
        """Return how far the checkpoint in S3 is, if there is one."""
        try:
            head = self._s3.head_object(Bucket=self._bucket, Key=_name(job_id))
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            return None
        return int(head["Metadata"]["next-piece"])

    def save(self, job_id: str, checkpoint: Checkpoint) -> None:
        """Write the checkpoint to S3.

        Raises:
            Superseded: Another run has written it.
        """
        condition = {"IfMatch": self._tag} if self._tag else {"IfNoneMatch": "*"}
        name = _name(job_id)
        body = self._vault.seal(_dump(checkpoint), name)
        # The content is encrypted, so a person sees from outside how far it is.
        shown = {"next-piece": str(checkpoint.next_piece)}
        try:
            answer = self._s3.put_object(
                Bucket=self._bucket, Key=name, Body=body, Metadata=shown, **condition
            )
            self._tag = answer["ETag"]
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "NoSuchKey"):
                raise
            # The SDK repeats a request without an answer, and the second one fails if the first one worked.
            stored, self._tag = self._read(job_id)
            if stored != checkpoint:
                raise Superseded(f"another run works on job {job_id}") from None

    def save_local(self, job_id: str, checkpoint: Checkpoint) -> None:
        """Write the checkpoint to `/tmp`, where a crash of the program leaves it."""
        path = self._path(job_id)
        part = path.with_suffix(".part")
        based_on = f"{_name(job_id)} {self._tag}"
        part.write_bytes(self._vault.seal(_dump(checkpoint), based_on))
        part.rename(path)

    def delete(self, job_id: str) -> None:
        """Delete the checkpoint of a finished job."""
        self._s3.delete_object(Bucket=self._bucket, Key=_name(job_id))
        self._path(job_id).unlink(missing_ok=True)

    def _read(self, job_id: str) -> tuple[Checkpoint | None, str | None]:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=_name(job_id))
        except self._s3.exceptions.NoSuchKey:
            return None, None
        data = self._vault.open(answer["Body"].read(), _name(job_id))
        return Checkpoint(**json.loads(data)), answer["ETag"]

    def _read_local(self, job_id: str) -> Checkpoint | None:
        """The checkpoint in `/tmp`, if it is based on the version in S3: else another environment went on."""
        try:
            data = self._vault.open(self._path(job_id).read_bytes(), f"{_name(job_id)} {self._tag}")
        except (FileNotFoundError, Damaged):
            return None
        return Checkpoint(**json.loads(data))

    def _path(self, job_id: str) -> Path:
        return self._folder / job_id


def _name(job_id: str) -> str:
    return f"checkpoints/{job_id}"


def _dump(checkpoint: Checkpoint) -> bytes:
    return json.dumps(vars(checkpoint)).encode()
