"""Messages of PostgreSQL's protocol, version 3.

A message is the bytes on the wire: one byte for its kind, four for its length, and the body.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
VERSION_3 = 196608

#: The longest message that opens a connection, as in PostgreSQL.
MAX_STARTUP = 10000


def message(kind: bytes, *parts: bytes) -> bytes:
    """A message of a kind, its body put together from parts."""
    body = b"".join(parts)
    return kind + struct.pack("!I", len(body) + 4) + body


def text(value: str) -> bytes:
    """A string with its end."""
    return value.encode() + b"\0"


def split(buffer: bytearray) -> list[bytes]:
    """Take all whole messages out of what has arrived."""
    found, start, end = [], 0, len(buffer)
    while end - start >= 5:
        length = 1 + int.from_bytes(buffer[start + 1 : start + 5], "big")
        if length < 5:
            raise ValueError("a message is shorter than its own length field")
        if end - start < length:
            break
        found.append(bytes(buffer[start : start + length]))
        start += length
    if start:
        del buffer[:start]
    return found


def body(raw: bytes) -> bytes:
    """What comes after kind and length."""
    return raw[5:]


def startup(parameters: dict[str, str]) -> bytes:
    """The message that opens a connection to a database; it has no kind."""
    pairs = b"".join(text(name) + text(value) for name, value in parameters.items())
    content = struct.pack("!I", VERSION_3) + pairs + b"\0"
    return struct.pack("!I", len(content) + 4) + content


def startup_parameters(content: bytes) -> dict[str, str]:
    """The parameters in the message that opens a connection, after its version."""
    values = content.rstrip(b"\0").decode(errors="replace").split("\0")
    # An empty value at the end was stripped with the terminator.
    return dict(zip(values[::2], [*values[1::2], ""], strict=False))


def parameter_status(name: str, value: str) -> bytes:
    """Tell the client the value of a parameter."""
    return message(b"S", text(name), text(value))


def authentication(kind: int, content: bytes = b"") -> bytes:
    """A request to authenticate; kind 0 means that the client has."""
    return message(b"R", struct.pack("!I", kind), content)


def ready(status: bytes = b"I") -> bytes:
    """Tell the client that the next request may come."""
    return message(b"Z", status)


def error(severity: str, code: str, reason: str) -> bytes:
    """An error: severity ERROR or FATAL, an SQLSTATE, and what a person reads."""
    fields = {"S": severity, "V": severity, "C": code, "M": reason}
    return message(b"E", *(name.encode() + text(value) for name, value in fields.items()), b"\0")


def error_fields(raw: bytes) -> dict[str, str]:
    """The fields of an error or a notice, by their one-letter names."""
    parts = body(raw).decode(errors="replace").split("\0")
    return {part[0]: part[1:] for part in parts if part}
