"""Functions whose names have words of Lambda's paths, such as `provisioned-concurrency` or `url`.

The emulator looks for such words anywhere in a path. It takes every request about a function with the name
`provisioned-concurrency-Prices` for one about provisioned concurrency, of no function, and `url-shortener`
for the URL of one.

Faithful to: a function may have any name that Lambda allows.
Not to: nothing else is known to differ.

https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from ministack.services import lambda_svc

from localaws.patching import around

_NAME = re.compile(r"(/[^/]+/functions/)([^/]+)(.*)", re.DOTALL)
_ANYWHERE = re.compile("provisioned-concurrency|event-invoke-config|code-signing-config")
_AT_THE_START = re.compile("url|account-settings|event-source-mappings|tags")  # of a part of the path


@around(lambda_svc, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
) -> Any:
    return await stock(method, masked(path), headers, body, query_params)


def masked(path: str) -> str:
    """The path with the name of the function in a form in which the emulator finds no words."""
    found = _NAME.fullmatch(path)
    name = unquote(found[2]) if found else ""
    if not found or not (_ANYWHERE.search(name) or _AT_THE_START.match(name)):
        return path
    # The emulator decodes it once, and `_resolve` the second time.
    return found[1] + "".join(f"%25{byte:02X}" for byte in name.encode()) + found[3]


@around(lambda_svc, "_resolve_request_scoped_name_and_qualifier")
def _resolve(stock: Callable[[str], tuple[str, str | None]], name_or_arn: str) -> tuple[str, str | None]:
    return stock(unquote(name_or_arn or ""))
