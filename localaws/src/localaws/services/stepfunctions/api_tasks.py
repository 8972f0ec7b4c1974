"""Tasks that call an API: `arn:aws:states:::apigateway:invoke`.

Faithful to: the request is sent to the API's own endpoint, signed by the role of the state machine with
`IAM_ROLE`, which needs `execute-api:Invoke` for the route. Method, stage, path, query parameters, headers and
body; headers that are not permitted; the form of the result. A status other than 2xx fails the task with
`ApiGateway.STATUS`, and the body as the cause.
Not to: `RESOURCE_POLICY` and `.waitForTaskToken`. Headers of AWS in the result.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-api-gateway.html
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import closing
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from ministack.core import lambda_runtime
from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions

from localaws.engines.python_runtime.environment import gateway
from localaws.patching import changes
from localaws.services.requests.usage import billed_task
from localaws.services.stepfunctions.execution_role import role_of_execution

_RESOURCE = "arn:aws:states:::apigateway:invoke"
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
_ENDPOINT = re.compile(r"([0-9a-z]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
_FORBIDDEN = re.compile(
    r"x-forwarded.*|x-amzn?.*|authorization|connection|content-md5|expect|host|max-forwards|proxy-authenticate"
    r"|server|te|transfer-encoding|trailer|upgrade|via|www-authenticate",
    re.IGNORECASE,
)
_SECONDS = 60


@changes(stepfunctions, "_SERVICE_DISPATCH")
def _service_dispatch(stock: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    return {**{resource: billed_task(run) for resource, run in stock.items()}, _RESOURCE: _invoke}


def _invoke(_resource: str, given: Mapping[str, Any]) -> dict[str, Any]:
    method, endpoint, kind = (
        given.get("Method", ""),
        str(given.get("ApiEndpoint")),
        given.get("AuthType", "NO_AUTH"),
    )
    headers = {name: _joined(value) for name, value in (given.get("Headers") or {}).items()}
    refused = [name for name in headers if _FORBIDDEN.fullmatch(name)]
    api = _ENDPOINT.fullmatch(endpoint)
    if api is None or method not in _METHODS or kind not in ("NO_AUTH", "IAM_ROLE") or refused:
        problem = f"Method {method}, ApiEndpoint {endpoint}, AuthType {kind}, headers {refused}"
        raise stepfunctions._ExecutionError("States.Runtime", f"The task cannot be performed: {problem}")
    body = given.get("RequestBody")
    content = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    if content:
        headers.setdefault("Content-Type", "application/json")
    answer = _send(api[1], endpoint, method, _target(given), headers, content, signed=kind == "IAM_ROLE")
    status, lines, text = answer
    if not 200 <= status < 300:
        raise stepfunctions._ExecutionError(f"ApiGateway.{status}", text)
    return {
        "Headers": lines,
        "ResponseBody": _parsed(text),
        "StatusCode": status,
        "StatusText": HTTPStatus(status).phrase,
    }


def _target(given: Mapping[str, Any]) -> str:
    parts = (given.get("Stage"), str(given.get("Path") or "").lstrip("/"))
    query = [
        (name, one)
        for name, values in (given.get("QueryParameters") or {}).items()
        for one in (values if isinstance(values, list) else [values])
    ]
    path = quote("/" + "/".join(part for part in parts if part), safe="/$%")
    return f"{path}?{urlencode(query, quote_via=quote)}" if query else path


def _send(
    api: str, endpoint: str, method: str, target: str, headers: dict[str, str], body: bytes, *, signed: bool
) -> tuple[int, dict[str, list[str]], str]:
    here = urlsplit(gateway()["AWS_ENDPOINT_URL"])
    # The server knows APIs by this name; the signature is for the name that the request is sent to.
    host = f"{api}.execute-api.localhost:{here.port}"
    request = AWSRequest(method, f"https://{host}{target}", headers=headers, data=body)
    if signed:
        SigV4Auth(_credentials(), "execute-api", get_region()).add_auth(request)
    context = ssl.create_default_context(cafile=gateway().get("AWS_CA_BUNDLE"))
    connection = http.client.HTTPSConnection(str(here.hostname), here.port, timeout=_SECONDS, context=context)
    with closing(connection):
        connection.request(method, target, body=body, headers={**dict(request.headers.items()), "Host": host})
        response = connection.getresponse()
        lines: dict[str, list[str]] = {}
        for name, value in response.getheaders():
            lines.setdefault(name, []).append(value)
        return response.status, lines, response.read().decode("utf-8", "replace")


def _credentials() -> Credentials:
    """A session of the role of the state machine."""
    role = role_of_execution()
    function = f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:states"
    config = {"Role": role, "FunctionArn": function, "FunctionName": "StepFunctions"}
    key, secret, token = lambda_runtime.execution_credentials(config).values()
    return Credentials(key, secret, token or None)


def _joined(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
