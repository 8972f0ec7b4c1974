"""What web servers send → JSON lines of one site: plain Python without AWS.

A record is a JSON object, a line of Apache's format ``vhost_combined``, or several of these lines compressed
with gzip. One record has one place in S3, so all of its lines must be of one site.

https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats
"""

import functools
import json
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from shared.storable import NotStorable, load_json

_GZIP = b"\x1f\x8b"
# What grows beyond this cannot be answered anyway.
_LONGEST = 6_000_000
# Possessive, so that a long line that does not match takes no longer than one that does.
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_LINE = re.compile(
    r"(?P<site>[^\s:]++)(?::\d++)? (?P<client>\S++) \S++ \S++ \[(?P<time>[^\]]++)\] "
    r'"(?P<method>[A-Z]++) (?P<path>(?:[^\s"\\]|\\.)++)(?: (?:[^"\\]|\\.)*+)?" '
    rf"(?P<status>\d{{3}}) (?P<bytes>\d++|-)(?: {_QUOTED} {_QUOTED})?"
)
# It becomes a part of the key of an object.
_SITE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_HEALTH = "/health"


class NotALine(ValueError):
    """The record can never be converted; the text gives the reason."""


class Converted(NamedTuple):
    """The lines of a record.

    Attributes:
        site: Whose they are; empty if no line is left.
        text: JSON objects, each with a newline at its end. Health checks are left out.
    """

    site: str
    text: bytes


def convert(data: bytes) -> Converted:
    """Convert a record.

    Raises:
        NotALine: It cannot be converted.
    """
    if not data.startswith(_GZIP):
        site, text = _converted(data)
        return Converted(site if text else "", text)
    found = [_converted(line) for line in _decompressed(data).splitlines() if line.strip()]
    kept = [(site, text) for site, text in found if text]
    if len({site for site, _ in kept}) > 1:
        raise NotALine("its lines are of several sites")
    return Converted(kept[0][0], b"".join(text for _, text in kept)) if kept else Converted("", b"")


def _converted(line: bytes) -> tuple[str, bytes]:
    """The site of a line, and the line as JSON; empty for a health check."""
    if line.lstrip().startswith(b"{"):
        return _checked(line)
    try:
        match = _LINE.fullmatch(line.decode().rstrip())
    except UnicodeDecodeError:
        match = None
    if match is None:
        raise NotALine("it is neither a JSON object nor a line of an access log")
    fields = match.groupdict()
    if not _SITE.fullmatch(fields["site"]):
        raise NotALine("its site is no host name")
    if fields["path"] == _HEALTH:
        return fields["site"], b""
    document = {
        **fields,
        "time": _time(fields["time"]),
        "status": int(fields["status"]),
        "bytes": 0 if fields["bytes"] == "-" else int(fields["bytes"]),
    }
    return fields["site"], json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _checked(line: bytes) -> tuple[str, bytes]:
    """A line that is JSON already stays as it is, unless it has newlines."""
    try:
        document = load_json(line.decode())
    except (NotStorable, UnicodeDecodeError) as reason:
        raise NotALine(str(reason)) from None
    site = document.get("site") if isinstance(document, dict) else None
    if not isinstance(site, str) or not _SITE.fullmatch(site):
        raise NotALine("its site is no host name")
    if document.get("path") == _HEALTH:
        return site, b""
    line = line.strip()
    if b"\n" in line or b"\r" in line:
        line = json.dumps(document, separators=(",", ":")).encode()
    return site, line + b"\n"


@functools.lru_cache(maxsize=4096)  # many lines are of the same second
def _time(text: str) -> str:
    try:
        moment = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")
    except ValueError:
        raise NotALine("its time is not that of an access log") from None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _decompressed(data: bytes) -> bytes:
    return b"".join(_members(data))


def _members(data: bytes) -> Iterator[bytes]:
    """What is in the members of a gzip file, as far as it is not too long."""
    left = _LONGEST
    while data:
        reader = zlib.decompressobj(wbits=31)
        try:
            text = reader.decompress(data, left + 1)
        except zlib.error:
            raise NotALine("it is no gzip file") from None
        left -= len(text)
        if left < 0:
            raise NotALine(f"it has more than {_LONGEST:,} bytes when it is decompressed")
        if not reader.eof:
            raise NotALine("its gzip file is cut off")
        yield text
        data = reader.unused_data
