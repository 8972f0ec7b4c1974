"""APIs that call Step Functions: StartSyncExecution and other actions behind REST and HTTP APIs.

The emulator knows only functions, queues and HTTP behind an API.

Faithful to: a REST API with the integration `states:action/…` maps request and response by its templates,
and selects the integration response by the status of Step Functions. An HTTP API with the subtype
`StepFunctions-StartSyncExecution`, `-StartExecution` or `-StopExecution` maps its request parameters, and
answers what Step Functions answers: status 200 also for an execution that failed. Response parameters of that
integration overwrite the status and headers. A synchronous execution that takes longer than the integration
timeout, 29 seconds (REST, 504) or 30 (HTTP, 503), goes on. The role of the integration must trust
`apigateway.amazonaws.com` and allow the action; otherwise Step Functions refuses, with status 400.
Not to: JSONPath in parameters beyond names and indexes.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-integration-settings-integration-response.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-aws-services-reference.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ministack.core.concurrency import run_reentrant
from ministack.core.responses import error_response_json
from ministack.services import apigateway, apigateway_v1, stepfunctions

from localaws import strict_json
from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.apigateway import exchanges, parameter_mappings
from localaws.services.apigateway.mapping_templates import TemplateFailed, render
from localaws.services.apigateway.service_integrations import denied
from localaws.services.stepfunctions.clocks import Clock
from localaws.services.stepfunctions.express import start_sync_execution

Response = tuple[int, dict[str, Any], bytes]
Integration = dict[str, Any]

_URI = re.compile(r"arn:[a-z-]+:apigateway:[a-z0-9-]+:states:action/(\w+)")
_SUBTYPE = re.compile(r"StepFunctions-(StartSyncExecution|StartExecution|StopExecution)")
_JSON = {"Content-Type": "application/json"}
_PAUSE = 0.02  # seconds between two looks at the clock
_going_on: set[asyncio.Task[Any]] = set()  # asyncio itself holds tasks weakly


async def _call(
    action: str, data: dict[str, Any], role: str | None, seconds: float
) -> tuple[int, str] | None:
    """Call Step Functions as a role: status and body of its answer, None after that time."""
    target = str(data.get("stateMachineArn") or data.get("executionArn") or "*")
    if message := denied(role, f"states:{action}", target):
        return _status_and_body(error_response_json("AccessDeniedException", message, 400))
    if action != "StartSyncExecution":
        headers = {"x-amz-target": f"AWSStepFunctions.{action}"}
        body = json.dumps(data).encode()
        return _status_and_body(await stepfunctions.handle_request("POST", "/", headers, body, {}))
    watch = Clock()
    running = asyncio.create_task(run_reentrant(start_sync_execution, data, watch))
    _going_on.add(running)
    running.add_done_callback(_going_on.discard)
    while watch.elapsed < seconds:
        done, _ = await asyncio.wait({running}, timeout=min(_PAUSE, max(seconds - watch.elapsed, 0)))
        if done and watch.elapsed < seconds:
            return _status_and_body(stepfunctions._finalize_response(running.result()))
    return None


def _status_and_body(response: Response) -> tuple[int, str]:
    return int(response[0]), response[2].decode()


# -- REST APIs


@around(apigateway_v1, "_invoke_lambda_custom_v1")
async def _invoke_of_rest(
    stock: Callable[..., Awaitable[Response]],
    integration: Integration,
    api_id: str,
    stage_name: str,
    stage: Any,
    resource: dict[str, Any],
    request_path: str,
    method: str,
    *rest: Any,
    **more: Any,
) -> Any:
    action = _URI.fullmatch(str(integration.get("uri") or ""))
    if action is None:
        given = integration, api_id, stage_name, stage, resource, request_path, method
        return await stock(*given, *rest, **more)
    headers, body, query, path = rest
    exchange = exchanges.served()
    params = {"path": path or {}, "querystring": _single(query), "header": _single(headers)}
    context = _nested(exchanges.variables(exchange))
    text = body.decode("utf-8", "replace")
    try:
        sent = _request(integration, exchange.client.header("content-type"), text, params, context)
        seconds = float(integration.get("timeoutInMillis") or 29_000) / 1000
        answer = await _call(action[1], sent, integration.get("credentials"), seconds)
        if answer is None:
            return apigateway_v1._gw_error("INTEGRATION_TIMEOUT", "Endpoint request timed out")
        exchange.integration.service_status = answer[0]
        return _mapped(integration, *answer, params, context)
    except (TemplateFailed, ValueError):
        return apigateway_v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")


def _request(
    integration: Integration, content_type: str, body: str, params: Any, context: dict[str, Any]
) -> dict[str, Any]:
    """The request for Step Functions."""
    kind = content_type.partition(";")[0].strip().lower() or "application/json"
    template = (integration.get("requestTemplates") or {}).get(kind)
    text = body if template is None else render(template, body=body, params=params, context=context)[0]
    found = strict_json.read(text, strict=False)
    if not isinstance(found, dict):
        raise ValueError("the request for Step Functions is no JSON object")
    return found


def _mapped(integration: Integration, status: int, body: str, params: Any, context: Any) -> Any:
    """The response of the API for one of Step Functions."""
    chosen = apigateway_v1._select_service_integration_response(integration, status)
    if chosen is None:
        return apigateway_v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")
    code, text, headers = int(chosen.get("statusCode") or status), body, dict(_JSON)
    for target, source in (chosen.get("responseParameters") or {}).items():
        if str(source)[:1] == str(source)[-1:] == "'":
            headers[target.removeprefix("method.response.header.")] = str(source)[1:-1]
    template = (chosen.get("responseTemplates") or {}).get("application/json")
    if template is not None:
        text, override = render(template, body=body, params=params, context=context)
        code = override or code
    return code, headers, text.encode()


def _nested(variables: Mapping[str, Any]) -> dict[str, Any]:
    """`$context` with its variables below each other: `identity.sourceIp` in `identity`."""
    context: dict[str, Any] = {"authorizer": {}, "identity": {}}
    for name, value in variables.items():
        *places, last = name.split(".")
        place = context
        for one in places:
            place = place.setdefault(one, {})
        if isinstance(place, dict):
            place[last] = value
    return context


def _single(values: Mapping[str, Any] | None) -> dict[str, str]:
    return {
        name: str(value[0] if isinstance(value, list | tuple) else value)
        for name, value in (values or {}).items()
    }


# -- HTTP APIs


@around(apigateway, "_invoke_lambda_proxy")
async def _invoke_of_http(
    stock: Callable[..., Awaitable[Response]],
    integration: Integration,
    api_id: str,
    stage: str,
    path: str,
    method: str,
    headers: Any,
    body: Any,
    query_params: Any,
    route_key: str = "$default",
    path_params: Any = None,
    **more: Any,
) -> Response:
    action = _SUBTYPE.fullmatch(str(integration.get("integrationSubtype") or ""))
    if action is None:
        given = integration, api_id, stage, path, method, headers, body, query_params, route_key, path_params
        return await stock(*given, **more)
    exchange = exchanges.served()
    sources = parameter_mappings.sources(exchange)
    data = {
        name[0].lower() + name[1:]: value
        for name, source in (integration.get("requestParameters") or {}).items()
        if name != "Region" and (value := apigateway._resolve_mapping_value(source, **sources)) is not None
    }
    seconds = min(float(integration.get("timeoutInMillis") or 30_000), 30_000) / 1000
    answer = await _call(action[1], data, integration.get("credentialsArn"), seconds)
    if answer is None:
        raise exchanges.Refusal(503, "Service Unavailable")
    exchange.integration.service_status = answer[0]
    status, text = answer
    return parameter_mappings.response(exchange, integration, (status, dict(_JSON), text.encode()))


_integrations = resource("AWS::ApiGatewayV2::Integration")


@_integrations.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    made = stock(logical_id, properties, stack)
    _record(properties, made[0])
    return made


@_integrations.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    made = stock(physical_id, old, new, stack, logical_id)
    _record(new, made[0])
    return made


def _record(properties: Properties, integration_id: str) -> None:
    found = apigateway._integrations[properties["ApiId"]][integration_id]
    _keep(
        found,
        {
            "integrationSubtype": properties.get("IntegrationSubtype"),
            "credentialsArn": properties.get("CredentialsArn"),
        },
    )


@around(apigateway, "_create_integration")
def _create_integration(stock: Callable[..., Response], api_id: str, data: dict[str, Any]) -> Response:
    response = stock(api_id, data)
    made = json.loads(response[2]).get("integrationId")
    return _kept(response, api_id, made, data)


@around(apigateway, "_update_integration")
def _update_integration(
    stock: Callable[..., Response], api_id: str, int_id: str, data: dict[str, Any]
) -> Response:
    return _kept(stock(api_id, int_id, data), api_id, int_id, data)


def _kept(response: Response, api_id: str, integration_id: str | None, data: dict[str, Any]) -> Response:
    found = apigateway._integrations.get(api_id, {}).get(integration_id)
    if response[0] >= 400 or found is None:
        return response
    _keep(found, {name: data.get(name) for name in ("integrationSubtype", "credentialsArn")})
    answer: Response = apigateway._apigw_response(found, response[0])
    return answer


def _keep(integration: Integration, values: Mapping[str, Any]) -> None:
    integration.update({name: value for name, value in values.items() if value is not None})
