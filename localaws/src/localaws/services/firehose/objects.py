"""Objects that Firehose writes to S3: their names, and their compression.

Used by `firehose.delivery`.

Faithful to: the default prefix, expressions in prefixes, the time of the oldest record in the object in the
destination's time zone, the suffix, extensions, and content encodings. A prefix without an expression for a
time or a partition key gets `yyyy/MM/dd/HH/`.
Not to: what Snappy saves: its blocks are valid, and hold the data as it is.

https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html
https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html
https://github.com/google/snappy/blob/main/format_description.txt
"""

from __future__ import annotations

import gzip
import io
import re
import uuid
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ministack.services import firehose

from localaws.identifiers import LOWER_CASE, identifier

Settings = Mapping[str, Any]
#: `!{namespace:value}`
EXPRESSION = re.compile(r"!\{([A-Za-z]+):([^{}]+)\}")
_HOUR = "yyyy/MM/dd/HH/"
_RANDOM_STRING = 11
# The extension and the content encoding of each format.
_FORMATS = {
    "GZIP": (".gz", "gzip"),
    "ZIP": (".zip", "zip"),
    "Snappy": (".snappy", "snappy-java"),
    "HADOOP_SNAPPY": (".hsnappy", "hadoop-snappy"),
}


def data_key(stream: Settings, settings: Settings, oldest: float, keys: Mapping[str, str]) -> str:
    """The key of an object with delivered records.

    Args:
        stream: The delivery stream.
        settings: Its destination.
        oldest: When the oldest record in the object arrived.
        keys: The values of its partition keys, by their expression.
    """
    prefix, moment = str(settings.get("Prefix") or ""), _moment(settings, oldest)
    if not re.search(r"!\{(timestamp|partitionKeyFrom\w+):", prefix):
        prefix += f"!{{timestamp:{_HOUR}}}"
    extension = settings.get("FileExtension") or _FORMATS.get(_format(settings), ("", ""))[0]
    return _evaluated(prefix, moment, keys) + _suffix(stream, moment) + extension


def error_key(stream: Settings, settings: Settings, oldest: float, error_type: str) -> str:
    """The key of an object with records that failed."""
    moment, keys = _moment(settings, oldest), {"firehose:error-output-type": error_type}
    prefix = str(settings.get("ErrorOutputPrefix") or "")
    if not prefix:
        prefix = f"{settings.get('Prefix') or ''}{error_type}/!{{timestamp:{_HOUR}}}"
    elif not EXPRESSION.search(prefix):
        prefix += f"!{{timestamp:{_HOUR}}}"
    return _evaluated(prefix, moment, keys) + _suffix(stream, moment)


def compressed(settings: Settings, data: bytes) -> tuple[bytes, dict[str, str]]:
    """The contents of an object, and the parameters of PutObject that describe them."""
    kind = _format(settings)
    if kind not in _FORMATS:
        return data, {}
    pack = {"GZIP": gzip.compress, "ZIP": _zip, "Snappy": _snappy_stream, "HADOOP_SNAPPY": _hadoop_block}
    return pack[kind](data), {"ContentEncoding": _FORMATS[kind][1]}


def _format(settings: Settings) -> str:
    return str(settings.get("CompressionFormat") or "UNCOMPRESSED")


def _moment(settings: Settings, seconds: float) -> Any:
    zone = ZoneInfo(str(settings.get("CustomTimeZone") or "UTC"))
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone).timetuple()


def _evaluated(prefix: str, moment: Any, keys: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] == "timestamp":
            return str(firehose._java_time(found[2], moment))
        if found[1] == "firehose" and found[2] == "random-string":
            return identifier(LOWER_CASE, _RANDOM_STRING)
        return keys[f"{found[1]}:{found[2]}"]

    return EXPRESSION.sub(value, prefix)


def _suffix(stream: Settings, moment: Any) -> str:
    time = firehose._java_time("yyyy-MM-dd-HH-mm-ss", moment)
    return f"{stream['name']}-{stream['version']}-{time}-{uuid.uuid4()}"


def _zip(data: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(str(uuid.uuid4()), data)
    return archive.getvalue()


def _snappy_stream(data: bytes) -> bytes:
    """What snappy-java's SnappyInputStream reads: a header with two versions, then blocks."""
    block = _snappy_block(data)
    return b"\x82SNAPPY\x00" + (1).to_bytes(4) * 2 + len(block).to_bytes(4) + block


def _hadoop_block(data: bytes) -> bytes:
    """What Hadoop's SnappyCodec reads."""
    block = _snappy_block(data)
    return len(data).to_bytes(4) + len(block).to_bytes(4) + block


def _snappy_block(data: bytes) -> bytes:
    """The length as a varint, and one literal."""
    length, rest = bytearray(), len(data)
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    # Tag 63 in the upper six bits: the four bytes after it have the length less one.
    literal = bytes([63 << 2]) + (len(data) - 1).to_bytes(4, "little") + data if data else b""
    return bytes(length) + literal
