"""Notes: a name, some content of any media type, tags. What may be in them, and how they are kept."""

import gzip
import hashlib
import json
import re
import unicodedata
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from urllib.parse import quote

from errors import BadRequest, ContentTooLarge, UnprocessableContent

MAX_NAME_LENGTH = 200
MAX_TAGS = 10
MAX_TAG_LENGTH = 50

# An item of DynamoDB has 400 KB at most, names and values of all attributes together.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
MAX_STORED_BYTES = 390_000

_TAG = re.compile(r"[\w.-]+")

Position: TypeAlias = tuple[str, str]  # when the note was written, and its name


@dataclass(frozen=True)
class Summary:
    """What a list says of a note."""

    name: str
    content_type: str
    tags: tuple[str, ...]
    size_bytes: int
    etag: str
    updated_at: str

    @property
    def path(self) -> str:
        """Where the note is."""
        return f"/notes/{quote(self.name, safe='')}"


@dataclass(frozen=True)
class Note:
    """A note as it is kept.

    Args:
        summary: What a list says of it.
        stored: The content, compressed if that makes it smaller.
        gzipped: Whether it was compressed.
    """

    summary: Summary
    stored: bytes
    gzipped: bool

    @property
    def content(self) -> bytes:
        """The content as it was sent."""
        return gzip.decompress(self.stored) if self.gzipped else self.stored


@dataclass(frozen=True)
class Page:
    """Some notes of a list, and where the next ones begin, if there are more."""

    notes: tuple[Summary, ...]
    next: Position | None


class Notes(Protocol):
    """Where notes are kept."""

    def get(self, name: str) -> Note | None:
        """Return a note."""

    def put(self, note: Note, *, expected: "Expected") -> bool:
        """Write a note; return whether it is a new one.

        Raises:
            PreconditionFailed: What is there is not what was expected.
        """

    def delete(self, name: str, *, expected: "Expected") -> bool:
        """Delete a note; return whether there was one.

        Raises:
            PreconditionFailed: What is there is not what was expected.
        """

    def page(self, *, tags: tuple[str, ...], limit: int, newest_first: bool, after: Position | None) -> Page:
        """Return notes that have all of these tags."""


@dataclass(frozen=True)
class Expected:
    """What must be there for a write to happen: the condition headers of the request.

    Args:
        etags: One of these; or anything, if ``*`` is among them. Empty: no condition.
        absent: Nothing must be there.
    """

    etags: frozenset[str] = frozenset()
    absent: bool = False


def make_note(name: str, content: bytes, content_type: str, tags: Iterable[str], *, now: str) -> Note:
    """Check and compress what is to be kept.

    Raises:
        UnprocessableContent: The name or a tag is not allowed.
        ContentTooLarge: The content does not fit into an item.
    """
    tags = tuple(sorted({check_tag(tag) for tag in tags}))
    if len(tags) > MAX_TAGS:
        raise UnprocessableContent(f"{len(tags)} tags: a note has at most {MAX_TAGS}")
    # Without a time in its header, so that the same content is the same bytes.
    compressed = gzip.compress(content, compresslevel=6, mtime=0)
    gzipped = len(compressed) < len(content)
    stored = compressed if gzipped else content
    if len(stored) > MAX_STORED_BYTES:
        raise ContentTooLarge(
            f"{len(content):,} bytes, {len(stored):,} when compressed: a note keeps at most "
            f"{MAX_STORED_BYTES:,} compressed bytes"
        )
    summary = Summary(
        name=check_name(name),
        content_type=content_type,
        tags=tags,
        size_bytes=len(content),
        etag=_etag(content, content_type, tags),
        updated_at=now,
    )
    return Note(summary, stored, gzipped)


def _etag(content: bytes, content_type: str, tags: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps([content_type, *tags]).encode() + b"\0" + content)
    return f'"{digest.hexdigest()[:32]}"'


def check_name(name: str) -> str:
    """Return the name as it is kept: the same characters are the same name, however they were composed.

    Raises:
        UnprocessableContent: It is empty, too long, or has control characters.
    """
    name = unicodedata.normalize("NFC", name)
    # "Cc": control characters, "Cs": halves of characters, which cannot be written in UTF-8.
    if not 1 <= len(name) <= MAX_NAME_LENGTH or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise UnprocessableContent(
            f"a name of {len(name):,} characters: give 1 to {MAX_NAME_LENGTH}, without control characters"
        )
    return name


def check_tag(tag: str) -> str:
    """Return the tag as it is kept.

    Raises:
        UnprocessableContent: It is empty, too long, or has other characters than a tag may have.
    """
    tag = unicodedata.normalize("NFC", tag)
    if len(tag) > MAX_TAG_LENGTH or not _TAG.fullmatch(tag):
        raise UnprocessableContent(
            f"the tag {tag[:MAX_TAG_LENGTH]!r}: give 1 to {MAX_TAG_LENGTH} letters, digits and - . _"
        )
    return tag


@dataclass(frozen=True)
class Draft:
    """A note as JSON describes it, before it is checked."""

    name: str
    text: str
    tags: tuple[str, ...]


def read_draft(body: bytes) -> Draft:
    """Read ``{"text": "...", "name": "...", "tags": ["..."]}``; without a name it gets one.

    Raises:
        BadRequest: It is no JSON.
        UnprocessableContent: It says something else.
    """
    given = read_object(body, allowed=("text", "name", "tags"))
    text, name, tags = given.get("text"), given.get("name", uuid.uuid4().hex), given.get("tags", [])
    if not isinstance(text, str) or not isinstance(name, str):
        raise UnprocessableContent("'text' must be there and a string; so must 'name' be, if it is there")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise UnprocessableContent("'tags' must be a list of strings")
    return Draft(name, text, tuple(tags))


def read_object(body: bytes, *, allowed: tuple[str, ...]) -> dict[str, object]:
    """Read a JSON object that has no other keys than these.

    Raises:
        BadRequest: It is no JSON.
        UnprocessableContent: It is no object, or has another key.
    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("the body is no JSON") from None
    if not isinstance(given, dict):
        raise UnprocessableContent("the body must be a JSON object")
    if unknown := given.keys() - set(allowed):
        names = ", ".join(map(repr, allowed))
        raise UnprocessableContent(f"{min(unknown)!r} means nothing here; the keys are {names}")
    return given
