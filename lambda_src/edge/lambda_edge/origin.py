"""Origin events: between the cache and the origin, on a miss only. What they return is in the cache."""

from typing import Any
from urllib.parse import quote, unquote

# A country's pages are in a folder of the bucket. With a bucket or a server for each, set domainName (and the
# header host) in place of the path.
_EUROPE = frozenset({"AT", "BE", "DE", "ES", "FR", "IE", "IT", "NL", "PL", "SE"})


def request_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Origin request: pages of the viewer's country, and variants of images by another function."""
    request: dict[str, Any] = event["Records"][0]["cf"]["request"]
    if "s3" in request["origin"]:
        country = request["headers"].get("cloudfront-viewer-country", [{}])[0].get("value", "")
        request["origin"]["s3"]["path"] = "/eu" if country in _EUROPE else "/world"
    else:
        key = unquote(request["uri"][1:])
        request["querystring"] = f"key={quote(key, safe='')}&{request['querystring']}"
        request["uri"] = "/resize"
    return request


def response_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Origin response: an error page of our own, and a time to live for what has none.

    It gets no body, so it cannot change one: images are resized behind the origin request.
    """
    cf = event["Records"][0]["cf"]
    response: dict[str, Any] = cf["response"]
    if cf["request"]["uri"].startswith(("/account/", "/b/account/")):
        response["headers"]["cache-control"] = [{"key": "Cache-Control", "value": "private, no-store"}]
    # A bucket answers 403 for what is not there, because CloudFront may not list it.
    if "s3" in cf["request"]["origin"] and response["status"] in ("403", "404"):
        response.update(status="404", statusDescription="Not Found", body="<h1>Not here</h1>")
        response["headers"]["content-type"] = [{"key": "Content-Type", "value": "text/html"}]
        return response
    if response["status"] == "200" and "cache-control" not in response["headers"]:
        response["headers"]["cache-control"] = [{"key": "Cache-Control", "value": "public, max-age=300"}]
    return response
