"""Viewer events: before and after the cache, for every request, hit or miss.

An edge function has no environment variables: its settings are constants, so each change is a new version.
"""

import re
import zlib
from typing import Any
from urllib.parse import parse_qs, quote

WIDTHS = (160, 320, 640)
_GROUPS = ("a", "b")
# The origin decodes a path, and this code and the cache behaviors compare it as it is. So a path that has a
# shorter spelling is refused: an escaped letter, digit, -._~ or slash, two slashes, a dot as a folder.
_OTHER_SPELLING = re.compile(
    r"//|/\.{1,2}(?:/|$)|%(?:2[DEF]|3\d|4[1-9A-F]|5[\dAF]|6[1-9A-F]|7[\dAE]|(?![\dA-F]{2}))",
    re.IGNORECASE | re.ASCII,
)


def request_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Viewer request: redirect to the login, choose the group, and normalise the width for the cache key.

    Returns:
        A response, or the request that goes on to the cache. What it changes is in the cache key.
    """
    cf = event["Records"][0]["cf"]
    request: dict[str, Any] = cf["request"]
    uri, query = request["uri"], request["querystring"]
    request["headers"].pop("x-group", None)  # the viewer's own
    if _OTHER_SPELLING.search(uri):
        return _answer("400", "Bad Request")
    if uri.startswith("/b/"):  # where the pages of group b are: only the group leads there
        return _answer("404", "Not Found")
    cookies = _cookies(request)
    if uri.startswith("/account/") and not cookies.get("session"):
        wanted = f"{uri}?{query}" if query else uri
        return _answer("302", "Found", location=f"/login?next={quote(wanted, safe='')}")
    if uri.startswith("/images/"):
        request["querystring"] = f"width={nearest_width(query)}"
        return request
    group = cookies.get("group")
    if group not in _GROUPS:
        group = _GROUPS[zlib.crc32(cf["config"]["requestId"].encode()) % len(_GROUPS)]
    request["headers"]["x-group"] = [{"key": "X-Group", "value": group}]
    request["querystring"] = ""
    if group == "b":
        request["uri"] = f"/b{uri}"
    return request


def response_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Viewer response: keep the viewer in its group. A response in the cache has no cookie of anybody."""
    cf = event["Records"][0]["cf"]
    response: dict[str, Any] = cf["response"]
    group = cf["request"]["headers"].get("x-group", [{}])[0].get("value")
    if group in _GROUPS and _cookies(cf["request"]).get("group") != group:
        cookie = f"group={group}; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax"
        response["headers"].setdefault("set-cookie", []).append({"key": "Set-Cookie", "value": cookie})
    return response


def nearest_width(query_string: str) -> int:
    """The smallest width that is offered and not smaller than the wanted one: few variants, many hits."""
    wanted = parse_qs(query_string).get("width", [""])[-1]
    if not (wanted.isascii() and wanted.isdigit()):
        return WIDTHS[-1]
    return next((width for width in WIDTHS if width >= int(wanted[:6])), WIDTHS[-1])


def _answer(status: str, description: str, **headers: str) -> dict[str, Any]:
    lines = {
        name: [{"key": name.title(), "value": value}]
        for name, value in {**headers, "cache-control": "no-store"}.items()
    }
    return {"status": status, "statusDescription": description, "headers": lines}


def _cookies(request: dict[str, Any]) -> dict[str, str]:
    """Cookies by name: one of another application, which need not follow RFC 6265, costs no other."""
    found: dict[str, str] = {}
    for line in request["headers"].get("cookie", []):
        for pair in line["value"].split(";"):
            name, _, value = pair.partition("=")
            found.setdefault(name.strip(), value.strip(' "'))
    return found
