"""Integrations of REST APIs that map with templates: mocks, and functions without proxy.

The emulator answers a mock of status 204 with a body, and sends a function without proxy an event of its own.

Faithful to: the request template of the content type, and what happens without one (`passthroughBehavior`);
the integration response whose selection pattern matches the status of a mock, or the error of a function, and
else that without a pattern; its headers and template. A response without content has no body.
Not to: the parts of Velocity that the emulator lacks.

https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-mock-integration.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-integration-settings-integration-response.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/integration-passthrough-behaviors.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ministack.services import apigateway_v1

from localaws.services.apigateway import exchanges
from localaws.services.apigateway.exchanges import Exchange
from localaws.services.apigateway.requests import Response

Integration = dict[str, Any]
_STATUS = re.compile(r"""["']?statusCode["']?\s*:\s*["']?(\d{3})""")
_QUOTED = ("error.messageString",)


def mock(exchange: Exchange, integration: Integration) -> Any:
    """The response of a mock."""
    text = request_body(exchange, integration)
    status = _STATUS.search(text or "")
    found = response(exchange, integration, status[1] if status else "", "")
    return found or apigateway_v1._GatewayError("API_CONFIGURATION_ERROR", "Internal server error")


def request_body(exchange: Exchange, integration: Integration) -> str | None:
    """What is sent to the integration; None if the type of the request is refused."""
    templates = {
        key.partition(";")[0].strip().lower(): text
        for key, text in (integration.get("requestTemplates") or {}).items()
    }
    kind = exchange.client.header("content-type").partition(";")[0].strip().lower() or "application/json"
    text = exchange.body.decode("utf-8", "replace")
    if kind in templates:
        return _render(exchange, templates[kind], text)
    behavior = integration.get("passthroughBehavior") or "WHEN_NO_MATCH"
    return None if behavior == "NEVER" or (behavior == "WHEN_NO_TEMPLATES" and templates) else text


def response(exchange: Exchange, integration: Integration, outcome: str, body: str) -> Response | None:
    """The integration response for an outcome: the status of a mock, or the error of a function.

    None without one.
    """
    candidates = list((integration.get("integrationResponses") or {}).values())
    chosen = next((one for one in candidates if _matches(one.get("selectionPattern"), outcome)), None)
    chosen = chosen or next((one for one in candidates if not one.get("selectionPattern")), None)
    if chosen is None:
        return None
    status = int(chosen.get("statusCode") or 200)
    templates = chosen.get("responseTemplates") or {}
    accepted = exchange.client.header("accept").partition(",")[0].strip().lower()
    template = templates.get(accepted, templates.get("application/json"))
    text = body if template is None else _render(exchange, template, body)
    headers = dict(_headers(exchange, chosen))
    if status in (204, 304):
        text = ""
    elif not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = accepted if accepted in templates else "application/json"
    return status, headers, text.encode()


def _matches(pattern: str | None, outcome: str) -> bool:
    try:
        return bool(pattern and outcome and re.fullmatch(pattern, outcome, re.DOTALL))
    except re.error:
        return False


def _headers(exchange: Exchange, chosen: Mapping[str, Any]) -> Any:
    values = exchanges.variables(exchange)
    for target, source in (chosen.get("responseParameters") or {}).items():
        name, text = target.removeprefix("method.response.header."), str(source)
        if len(text) >= 2 and text[0] == text[-1] == "'":
            yield name, text[1:-1]
        elif text.startswith("context.") and values.get(text.removeprefix("context.")) is not None:
            yield name, str(values[text.removeprefix("context.")])
        elif text.startswith("stageVariables."):
            yield name, exchange.variables.get(text.removeprefix("stageVariables."), "")


def _render(exchange: Exchange, template: str, body: str) -> str:
    parameters = {**dict(exchange.client.headers), **dict(exchange.query), **exchange.path_parameters}
    context: dict[str, Any] = {}
    for name, value in exchanges.variables(exchange).items():
        *path, last = name.split(".")
        place = context
        for part in path:
            place = place.setdefault(part, {})
        if isinstance(place, dict):
            place[last] = value
    text: str = apigateway_v1._render_request_template_v1(template, body, parameters, context)
    return text


def fill(exchange: Exchange, text: str, more: Mapping[str, Any]) -> str:
    """Replace the `$context` variables of a gateway response's template that the emulator leaves."""
    values = {**exchanges.variables(exchange), **more}

    def value(match: re.Match[str]) -> str:
        name = (match[1] or match[2]).removeprefix("context.")
        found = values.get(name)
        shown = "" if found is None else str(found)
        return shown if name in _QUOTED else json.dumps(shown, ensure_ascii=False)[1:-1]

    return str(apigateway_v1._GATEWAY_TEMPLATE_VARIABLE.sub(value, text))
