"""Viewer events: before and after the cache, for every request, hit or miss.

An edge function has no environment variables: its settings are constants, so each change is a new version.
"""

import zlib
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote

WIDTHS = (160, 320, 640)
_GROUPS = ("a", "b")


def request_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Viewer request: redirect to the login, choose the group, and normalise the width for the cache key.

    Returns:
        A response, or the request that goes on to the cache. What it changes is in the cache key.
    """
    cf = event["Records"][0]["cf"]
    request: dict[str, Any] = cf["request"]
    cookies = _cookies(request)
    if request["uri"].startswith("/account/") and "session" not in cookies:
        return _redirect(f"/login?next={quote(request['uri'], safe='')}")
    if request["uri"].startswith("/images/"):
        request["querystring"] = f"width={nearest_width(request['querystring'])}"
        return request
    group = cookies.get("group")
    if group not in _GROUPS:
        group = _GROUPS[zlib.crc32(cf["config"]["requestId"].encode()) % len(_GROUPS)]
    request["headers"]["x-group"] = [{"key": "X-Group", "value": group}]
    request["querystring"] = ""
    if group == "b":
        request["uri"] = f"/b{request['uri']}"
    return request


def response_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Viewer response: keep the viewer in its group. A response in the cache has no cookie of anybody."""
    cf = event["Records"][0]["cf"]
    response: dict[str, Any] = cf["response"]
    group = cf["request"]["headers"].get("x-group", [{}])[0].get("value")
    if group and _cookies(cf["request"]).get("group") != group:
        cookie = f"group={group}; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax"
        response["headers"].setdefault("set-cookie", []).append({"key": "Set-Cookie", "value": cookie})
    return response


def nearest_width(query_string: str) -> int:
    """The smallest width that is offered and not smaller than the wanted one: few variants, many hits."""
    wanted = parse_qs(query_string).get("width", [""])[-1]
    if not (wanted.isascii() and wanted.isdigit()):
        return WIDTHS[-1]
    return next((width for width in WIDTHS if width >= int(wanted[:6])), WIDTHS[-1])


def _redirect(location: str) -> dict[str, Any]:
    headers = {"location": location, "cache-control": "no-store"}
    lines = {name: [{"key": name.title(), "value": value}] for name, value in headers.items()}
    return {"status": "302", "statusDescription": "Found", "headers": lines}


def _cookies(request: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in request["headers"].get("cookie", []):
        try:
            found |= {name: morsel.value for name, morsel in SimpleCookie(line["value"]).items()}
        except CookieError:  # of another application on this domain: a viewer without cookies
            continue
    return found
