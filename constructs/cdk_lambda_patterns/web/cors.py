"""CORS settings of URLs and APIs: origins that pages can have, and names that headers can have.

https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Origin
"""

import re
from collections.abc import Collection, Sequence

from aws_cdk import Token

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([\w.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
# https://www.rfc-editor.org/rfc/rfc9110.html#name-tokens
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check_origins(
    name: str,
    origins: Sequence[str] | None,
    credentials: bool | None,
    *,
    patterns: Collection[str] = ("*",),
) -> None:
    """Check the origins of the web pages that may call; tokens pass.

    Args:
        name: The argument, as the caller wrote it.
        origins: What was given.
        credentials: Whether browsers send cookies and the like.
        patterns: What the service takes for several origins.

    Raises:
        ValueError: There is none, one is no origin, or all of them get credentials.
    """
    if not origins:
        raise ValueError(f"{name}: without origins no web page may call; give them, or leave CORS out.")
    for origin in [] if Token.is_unresolved(list(origins)) else origins:
        if origin not in patterns and not _ORIGIN.fullmatch(origin) and not Token.is_unresolved(origin):
            raise ValueError(
                f"{name}: {origin!r} never equals the origin of a page; give scheme and host without a path, "
                f"such as 'https://example.com', or {' or '.join(map(repr, patterns))}."
            )
    if credentials and "*" in origins:
        raise ValueError(
            f"{name}=['*'] with allow_credentials=True: browsers refuse it, since every web page could act "
            "for the user; name the origins."
        )


def check_headers(name: str, headers: Sequence[str] | None) -> None:
    """Check names of headers; tokens pass.

    Raises:
        ValueError: One is empty, or no name of a header.
    """
    for header in [] if Token.is_unresolved(list(headers or [])) else headers or []:
        if not _HEADER.fullmatch(header) and not Token.is_unresolved(header):
            raise ValueError(f"{name}: {header!r} is no name of a header; give one such as 'X-Request-Id'.")
