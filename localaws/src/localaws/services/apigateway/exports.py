"""GetExport: the OpenAPI document of a REST API, from which clients are generated.

The emulator's document lacks the authorizers of Cognito and IAM, and what a generator depends on: references
between models, the stage in the server's address, and that a body is required.

Faithful to: `info.version` is the time at which the API was created, unless it has a version; the stage is a
variable of the server; models without `$schema`, with references to each other; bodies are required; optional
parameters do not say so; methods without declared responses have none; security schemes of Lambda, Cognito
(with scopes) and IAM authorizers; authorizers and request validators with the extension `authorizers` or
`apigateway`; the type and the name of the file. A body that has models, none of them JSON, is refused.
Not to: the wording of that error, the extension `postman`, gateway responses and policies. The document is
about the API as it is now, not as it was when it was deployed.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-export-api.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authtype.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from ministack.services import apigateway_v1

from localaws.patching import around

Response = tuple[int, dict[str, Any], bytes]
Document = dict[str, Any]

_JSON = "application/json"
_MODEL = re.compile(r"https://apigateway\.amazonaws\.com/restapis/[^/]+/models/(\w+)")


@around(apigateway_v1, "_get_export")
def _get_export(
    stock: Callable[..., Response],
    api_id: str,
    stage_name: str,
    export_type: str,
    headers: Any,
    query_params: Any,
) -> Response:
    for path, name, method in _methods(api_id):
        models = method.get("requestModels") or {}
        if models and _JSON not in models:
            text = f"JSON body models are not found: {name} {path} has {', '.join(models)}"
            refused: Response = apigateway_v1._v1_error("BadRequestException", text, 400)
            return refused
    status, lines, body = stock(api_id, stage_name, export_type, headers, query_params)
    if status == 200:
        extension = "yaml" if "yaml" in lines["Content-Type"] else "json"
        name = f"{export_type.lower()}_{_version(apigateway_v1._rest_apis[api_id])}.{extension}"
        lines["Content-Type"] = "application/octet-stream"
        lines["Content-Disposition"] = f'attachment; filename="{name}"'
    return status, lines, body


@around(apigateway_v1, "_build_api_export")
def _build_api_export(
    stock: Callable[..., Document],
    api_id: str,
    stage_name: str,
    export_type: str,
    include_integrations: bool,
    include_authorizers: bool,
) -> Document:
    document = stock(api_id, stage_name, export_type, include_integrations, include_authorizers)
    document["info"]["version"] = _version(apigateway_v1._rest_apis[api_id])
    is_oas = export_type == "oas30"
    schemes: Document = {}
    for path, name, method in _methods(api_id):
        key = "x-amazon-apigateway-any-method" if name == "ANY" else name.lower()
        operation = document["paths"][path][key]
        (_describe_3 if is_oas else _describe_2)(operation, method)
        _secure(api_id, operation, method, schemes, with_authorizer=include_authorizers)
        validators = apigateway_v1._request_validators.get(api_id, {})
        validator = validators.get(method.get("requestValidatorId"))
        if validator and include_integrations and include_authorizers:  # the extension `apigateway`
            operation["x-amazon-apigateway-request-validator"] = validator["name"]
            document.setdefault("x-amazon-apigateway-request-validators", {})[validator["name"]] = {
                "validateRequestParameters": bool(validator.get("validateRequestParameters")),
                "validateRequestBody": bool(validator.get("validateRequestBody")),
            }
    place, prefix = document, "#/definitions/"
    if is_oas:
        [server] = document["servers"]
        server["url"] = server["url"].removesuffix(f"/{stage_name}") + "/{basePath}"
        server["variables"] = {"basePath": {"default": stage_name}}
        place, prefix = document["components"], "#/components/schemas/"
    models = "schemas" if is_oas else "definitions"
    place[models] = {name: _exported(schema, prefix) for name, schema in place[models].items()}
    if not place[models]:
        del place[models]
    if schemes:
        place.setdefault("securitySchemes" if is_oas else "securityDefinitions", {}).update(schemes)
    return document


def _methods(api_id: str) -> Iterator[tuple[str, str, Document]]:
    """Path, name and record of each method."""
    for resource in apigateway_v1._resources.get(api_id, {}).values():
        for name, method in (resource.get("resourceMethods") or {}).items():
            yield resource.get("path", "/"), name.upper(), method


def _version(api: Document) -> str:
    created = api.get("createdDate")
    if api.get("version") or created is None:
        return str(api.get("version") or "1.0")
    moment = datetime.fromisoformat(created) if isinstance(created, str) else None
    if moment is None:
        moment = datetime.fromtimestamp(float(created), UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _describe_3(operation: Document, method: Document) -> None:
    if not method.get("methodResponses"):
        operation.pop("responses", None)
    for response in operation.get("responses", {}).values():
        response.setdefault("content", {})
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
    for parameter in operation.get("parameters", ()):
        if not parameter["required"]:
            del parameter["required"]


def _describe_2(operation: Document, method: Document) -> None:
    if not method.get("methodResponses"):
        operation["responses"] = {}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "body":
            parameter |= {"name": parameter["schema"]["$ref"].rpartition("/")[2], "required": True}


def _secure(
    api_id: str, operation: Document, method: Document, schemes: Document, *, with_authorizer: bool
) -> None:
    """Add what a client sends as proof of who it is."""
    kind = method.get("authorizationType")
    name, scopes, extension = "sigv4", [], {}
    if kind == "COGNITO_USER_POOLS":
        authorizer = apigateway_v1._authorizers_v1.get(api_id, {}).get(method.get("authorizerId"))
        if authorizer is None:
            return
        name, scopes = authorizer["name"], list(method.get("authorizationScopes") or [])
        pools = {"type": "cognito_user_pools", "providerARNs": authorizer.get("providerARNs") or []}
        extension = {"x-amazon-apigateway-authorizer": pools} if with_authorizer else {}
    elif kind != "AWS_IAM":
        return
    schemes[name] = {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "awsSigv4" if kind == "AWS_IAM" else "cognito_user_pools",
        **extension,
    }
    [required] = operation.setdefault("security", [{}])
    required[name] = scopes


def _exported(schema: Any, prefix: str) -> Any:
    """A model as it is in the document."""
    if isinstance(schema, list):
        return [_exported(one, prefix) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _exported(value, prefix) for name, value in schema.items() if name != "$schema"}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = _MODEL.sub(lambda known: prefix + known[1], found["$ref"])
    return found
