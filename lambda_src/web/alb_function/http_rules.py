"""The rules of HTTP that any service needs: validators, content codings, media types, problems.

https://www.rfc-editor.org/rfc/rfc9110
https://www.rfc-editor.org/rfc/rfc9457
"""

import re
from collections.abc import Iterable
from http import HTTPStatus

# What gzip's own header and trailer would eat up.
MIN_COMPRESSED_BYTES = 1_000

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 calls it that
_MEDIA_TYPE = re.compile(rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]*"))*')
_GZIP_TAG = "-gzip"


def is_media_type(value: str) -> bool:
    """Whether this is a media type that can be sent back as it came."""
    return len(value) <= 255 and _MEDIA_TYPE.fullmatch(value) is not None


def is_json(content_type: str) -> bool:
    """Whether a body of this media type is JSON."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")


def accepts_gzip(codings: Iterable[str]) -> bool:
    """Whether the elements of ``Accept-Encoding`` let gzip through. Without any, a client may not know it."""
    weights = {}
    for element in codings:
        coding, _, parameter = element.partition(";")
        _, _, weight = parameter.partition("=")
        try:
            weights[coding.strip().lower()] = float(weight) if weight.strip() else 1.0
        except ValueError:
            weights[coding.strip().lower()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def tag_of_gzip(etag: str) -> str:
    """Return the entity tag of the compressed form of what has this one: other bytes, another tag."""
    return f'{etag[:-1]}{_GZIP_TAG}"'


def names(tags: Iterable[str], etag: str | None) -> bool:
    """Whether the elements of ``If-Match`` or ``If-None-Match`` name what has this entity tag, in any form.

    Args:
        tags: The elements; ``*`` names whatever is there.
        etag: The entity tag of what is there, or ``None`` if nothing is.
    """
    known = {tag.removeprefix("W/").replace(f'{_GZIP_TAG}"', '"') for tag in tags}
    return etag is not None and ("*" in known or etag in known)


def problem(status: HTTPStatus, detail: str, request_id: str) -> dict[str, object]:
    """Return the body of an error, of media type ``application/problem+json``."""
    return {"title": status.phrase, "status": status.value, "detail": detail, "request_id": request_id}
