"""What web servers send → JSON lines of one site: plain Python without AWS.

A record is a JSON object, a line of Apache's format ``vhost_combined``, or several of these lines compressed
with gzip. One record has one place in S3, so all of its lines must be of one site.

https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats
"""

import functools
import gzip
import json
import re
import zlib
from datetime import UTC, datetime
from io import BytesIO
from typing import NamedTuple

from shared.storable import NotStorable, load_json

_GZIP = b"\x1f\x8b"
# In base64 it is the 6 MB of an answer. It also bounds the time and the memory that one record can take.
_LONGEST = 4_500_000
# Possessive, so that a long line that does not match takes no longer than one that does.
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_LINE = re.compile(
    r"(?P<site>[^\s:]++)(?::[0-9]++)? (?P<client>\S++) \S++ \S++ \[(?P<time>[^\]]++)\] "
    r'"(?P<method>[A-Z]++) (?P<path>(?:[^\s"\\]|\\.)++)(?: (?:[^"\\]|\\.)*+)?" '
    rf"(?P<status>[0-9]{{3}}) (?P<bytes>[0-9]{{1,18}}|-)(?: {_QUOTED} {_QUOTED})?"
)
# It becomes a part of the key of an object.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SITE = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_HEALTH = "/health"


class NotALine(ValueError):
    """The record can never be converted; the text gives the reason."""


class Converted(NamedTuple):
    """The lines of a record.

    Attributes:
        site: Whose they are, in lower case; empty if no line is left.
        text: JSON objects, each with a newline at its end. Health checks are left out.
    """

    site: str
    text: bytes


def is_compressed(data: bytes) -> bool:
    """Whether a record may have far more lines than bytes."""
    return data.startswith(_GZIP)


def convert(data: bytes) -> Converted:
    """Convert a record.

    Raises:
        NotALine: It cannot be converted.
    """
    if not is_compressed(data):
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
    site = _site(fields["site"])
    if fields["path"] == _HEALTH:
        return site, b""
    document = {
        **fields,
        "site": site,
        "time": _time(fields["time"]),
        "status": int(fields["status"]),
        "bytes": 0 if fields["bytes"] == "-" else int(fields["bytes"]),
    }
    return site, json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _checked(line: bytes) -> tuple[str, bytes]:
    """A line that is JSON already stays as it is, but without newlines: JSON has them between values only."""
    try:
        document = load_json(line.decode())
    except (NotStorable, UnicodeDecodeError) as reason:
        raise NotALine(str(reason)) from None
    site = _site(document.get("site") if isinstance(document, dict) else None)
    if document.get("path") == _HEALTH:
        return site, b""
    return site, line.strip().replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"


def _site(name: object) -> str:
    """A host name in lower case: case makes no difference in it, but it does in the key of an object."""
    if not isinstance(name, str) or not _SITE.fullmatch(found := name.lower()):
        raise NotALine("its site is no host name")
    return found


@functools.lru_cache(maxsize=4096)  # many lines are of the same second
def _time(text: str) -> str:
    try:
        moment = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
    except (ValueError, OverflowError):  # the latter: in UTC it is before year 1 or after year 9999
        raise NotALine("its time is not that of an access log") from None
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _decompressed(data: bytes) -> bytes:
    """What is in the members of a gzip file, as far as it is not too long."""
    try:
        text = gzip.GzipFile(fileobj=BytesIO(data)).read(_LONGEST + 1)
    except EOFError:
        raise NotALine("its gzip file is cut off") from None
    except (OSError, zlib.error):
        raise NotALine("it is no gzip file") from None
    if len(text) > _LONGEST:
        raise NotALine(f"it has more than {_LONGEST:,} bytes when it is decompressed")
    return text
