"""A note: a name, tags, and content of any media type, compressed to fit into an item of DynamoDB."""

import gzip
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from .messages import HttpError

# An item has at most 400 KB, with the names and values of all attributes.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
MAX_STORED_BYTES = 390_000
MAX_TAGS = 10

_NAME = re.compile(r"[^\0-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")
_TAG = re.compile(r"[\w.-]{1,50}")


@dataclass(frozen=True, kw_only=True)
class Note:
    """A note; in a list, without its content.

    Args:
        name: Its name.
        content_type: The media type of the content.
        tags: Its tags, sorted.
        size_bytes: The size of the content.
        updated_at: When it was written, ISO 8601.
        zipped: The content, compressed.
    """

    name: str
    content_type: str
    tags: Sequence[str]
    size_bytes: int
    updated_at: str
    zipped: bytes = b""

    @classmethod
    def make(cls, name: str, content: bytes, content_type: str, tags: Iterable[str], *, now: str) -> "Note":
        """Check and compress a note.

        Raises:
            HttpError: 413, the content is too large; 422, the name or a tag is not allowed.
        """
        tags = tuple(sorted({check_tag(tag) for tag in tags}))
        if len(tags) > MAX_TAGS:
            raise _not_allowed(f"{len(tags)} tags: a note has at most {MAX_TAGS}")
        zipped = gzip.compress(content, compresslevel=6, mtime=0)
        if len(zipped) > MAX_STORED_BYTES:
            raise HttpError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{len(content):,} bytes, {len(zipped):,} when compressed: a note holds at most "
                f"{MAX_STORED_BYTES:,} compressed bytes",
            )
        return cls(
            name=check_name(name),
            content_type=content_type,
            tags=tags,
            size_bytes=len(content),
            updated_at=now,
            zipped=zipped,
        )

    @property
    def path(self) -> str:
        """The path of the note in URLs."""
        return f"/notes/{quote(self.name, safe='')}"

    @property
    def content(self) -> bytes:
        """The content as it was sent."""
        return gzip.decompress(self.zipped)


def check_name(name: str) -> str:
    """Return the name.

    Raises:
        HttpError: 422, it is empty, too long, has control characters, or cannot be part of a path.
    """
    if not _NAME.fullmatch(name):
        detail = f"a name has 1 to 200 characters, without control characters; this one has {len(name):,}"
        raise _not_allowed(detail)
    if name in (".", ".."):
        # https://url.spec.whatwg.org/#double-dot-path-segment: percent-encoded dots are removed, too.
        raise _not_allowed(f"the name {name!r}: clients remove this segment from a path; give another name")
    return name


def check_tag(tag: str) -> str:
    """Return the tag.

    Raises:
        HttpError: 422, it is empty, too long, or has other characters than a tag may have.
    """
    if not _TAG.fullmatch(tag):
        raise _not_allowed(f"the tag {tag[:50]!r}: give 1 to 50 letters, digits and - . _")
    return tag


def _not_allowed(detail: str) -> HttpError:
    return HttpError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
