"""Parameter mapping of HTTP APIs: what an integration changes of requests and responses.

    request  -> headers, query string, path          -> integration
    response -> headers, status; chosen by its status -> client

The emulator maps requests, without values of their body, and no responses.

Faithful to: `append`, `overwrite` and `remove` of headers, `overwrite:statuscode`, for the statuses that the
integration returns; values of the request, the response, `$context` and stage variables, and static ones. A
value that is not there changes nothing. Mappings of reserved headers are refused.
Not to: JSONPath in bodies beyond names and indexes. A response of API Gateway itself, such as the 500 for a
function that fails, is not mapped.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from ministack.services import apigateway

from localaws.patching import around
from localaws.services.apigateway import exchanges
from localaws.services.apigateway.exchanges import Exchange
from localaws.services.apigateway.mapping_templates import at_path
from localaws.services.apigateway.requests import Response

Integration = Mapping[str, Any]

_HEADER = r"(append|overwrite|remove):header\.[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rf"{_HEADER}|(append|overwrite|remove):querystring\.\S+|overwrite:path")
_RESPONSE = re.compile(rf"{_HEADER}|overwrite[:.]statuscode")
_INVALID = "Invalid mapping expression specified"
_VALUE = re.compile(r"[^\r\n\0]*")


def sources(exchange: Exchange, **more: Any) -> dict[str, Any]:
    """What values come from, as the emulator's functions take it.

    Args:
        exchange: The request.
        **more: More variables.
    """
    said = exchange.authorizer or {}
    return {
        "request_headers": {name: exchange.client.header(name) for name, _ in exchange.client.headers},
        "request_query": exchange.parameters,
        "path_params": exchange.path_parameters,
        "stage_vars": exchange.variables,
        "context_vars": exchanges.variables(exchange)
        | {
            "request.path": exchange.path,
            "request.body": exchange.body.decode("utf-8", "replace"),
            "authorizer.jwt.claims": said.get("jwt", {}).get("claims"),
            "authorizer.lambda": said.get("lambda"),
            **more,
        },
    }


@around(apigateway, "_resolve_mapping_atom")
def _atom(
    stock: Callable[..., Any],
    expr: str,
    *,
    request_headers: Any,
    request_query: Any,
    path_params: Any,
    context_vars: Any,
    stage_vars: Any,
) -> Any:
    for name in ("request.body", "response.body"):
        text = context_vars.get(name) or ""
        if expr == f"${name}":
            return text or None
        if expr.startswith(f"${name}."):
            found = at_path(text, expr.removeprefix(f"${name}"))
            return found if found is None or isinstance(found, str) else json.dumps(found)
    if expr.startswith("$response.header."):
        headers = context_vars.get("response.headers") or {}
        return headers.get(expr.removeprefix("$response.header.").lower())
    return stock(
        expr,
        request_headers=request_headers,
        request_query=request_query,
        path_params=path_params,
        context_vars=context_vars,
        stage_vars=stage_vars,
    )


def request(exchange: Exchange, integration: Integration) -> Exchange:
    """The request as the integration gets it."""
    if not integration.get("requestParameters"):
        return exchange
    headers, query, path = apigateway._apply_request_parameter_mappings(
        integration, request_path=exchange.path, **sources(exchange)
    )
    text = urlencode(query, doseq=True, quote_via=quote)
    client = dataclasses.replace(exchange.client, headers=tuple(headers.items()), query=text)
    return dataclasses.replace(exchange, client=client, path=path)


def response(exchange: Exchange, integration: Integration, answer: Response) -> Response:
    """The response as the client gets it."""
    status, headers, body = answer
    mappings = _of_response((integration.get("responseParameters") or {}).get(str(status)))
    if not mappings:
        return answer
    lines = {
        name.lower(): ",".join(value) if isinstance(value, list) else str(value)
        for name, value in headers.items()
    }
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    given = sources(exchange, **{"response.headers": lines, "response.body": text})
    names = {name.lower(): name for name in headers}
    for target, source in mappings.items():
        action, place = re.split("[:.]", target, maxsplit=1)
        value = apigateway._resolve_mapping_value(source, **given)
        if place == "statuscode":
            status = int(value) if re.fullmatch(r"[2-5]\d\d", value or "") else status
            continue
        name = place.removeprefix("header.")
        known = names.get(name.lower(), name)
        if action == "remove":
            headers.pop(known, None)
        elif value is not None and _VALUE.fullmatch(value):
            before = headers.get(known) if action == "append" else None
            listed = before if isinstance(before, list) else [before] if before is not None else []
            headers[known] = ",".join([*listed, value])
            names[name.lower()] = known
    return status, headers, body


def _of_response(found: Any) -> dict[str, Any]:
    """The mappings for a status: an object in calls, a list in templates."""
    listed = (found or {}).get("ResponseParameters")
    return dict(found or {}) if listed is None else {one["Destination"]: one["Source"] for one in listed}


def problem(integration: Integration) -> str | None:
    """What API Gateway refuses of the mappings of an integration."""
    if integration.get("integrationSubtype"):
        targets = []
    else:
        targets = [(key, _REQUEST) for key in integration.get("requestParameters") or {}]
    for status, found in (integration.get("responseParameters") or {}).items():
        if not re.fullmatch(r"[2-5]\d\d", str(status)):
            return f"Invalid selection key {status}: it must be a status code from 200 to 599"
        targets += [(key, _RESPONSE) for key in _of_response(found)]
    for target, pattern in targets:
        error = None
        if not pattern.fullmatch(target):
            error = f"Invalid parameter mapping {target}"
        elif ":header." in target and apigateway._is_reserved_header(name := target.partition(".")[2]):
            error = f"Operations on header {name.lower()} are restricted"
        if error:
            return (
                f"Invalid mapping expression specified: Validation Result: warnings : [], errors : [{error}]"
            )
    return None
