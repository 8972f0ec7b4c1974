"""REST APIs compress responses for clients that accept it.

The emulator stores `minimumCompressionSize`, and compresses nothing.

Faithful to: `gzip` or `deflate`, which the client must name, for the response of an integration of at least
that size without `Content-Encoding`; not if the client prefers a coding that API Gateway lacks.
Not to: the decompression of requests.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-receive-response-with-compressed-payload.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-enable-compression.html
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

from localaws.services.apigateway.exchanges import Exchange
from localaws.services.apigateway.requests import Response

_CODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


def applied(exchange: Exchange, response: Response) -> Response:
    """The response of an integration, compressed if it is due."""
    status, headers, body = response
    least = exchange.api.get("minimumCompressionSize")
    if least in (None, "") or not isinstance(body, bytes) or len(body) < int(least):
        return response
    coding = _preferred(exchange.client.header("accept-encoding"))
    if coding not in _CODINGS or any(name.lower() == "content-encoding" for name in headers):
        return response
    return status, {**headers, "Content-Encoding": coding}, _CODINGS[coding](body)


def _preferred(accepted: str) -> str:
    """The coding that a client prefers; the first of several."""
    found = ""
    best = 0.0
    for one in accepted.lower().split(","):
        coding, _, weight = one.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            quality = 0.0
        if quality > best:
            found, best = coding.strip(), quality
    return found
