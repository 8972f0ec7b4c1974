"""Requests that a REST API refuses: missing parameters, and bodies that a model forbids.

The emulator drops validators from templates, and does not say what is wrong with a body.

Faithful to: required parameters first, then the body, against the model of its content type, JSON schema
draft 4, with references to other models of the API. 400 `Missing required request parameters: [...]` and
`Invalid request body`; `$context.error.validationErrorString` lists what is wrong.
Not to: the order of the errors in it.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/models-mappings-models.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ministack.services import apigateway_v1

from localaws import strict_json
from localaws.services.apigateway.exchanges import Exchange

if TYPE_CHECKING:
    from jsonschema import ValidationError

_MODEL = re.compile(r"https?://[^/]+/restapis/([^/]+)/models/([^/#]+)")
_TYPES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


def check(exchange: Exchange, request: dict[str, Any], method: dict[str, Any]) -> Any:
    """The gateway response that is due, or None."""
    validators = apigateway_v1._request_validators.get(exchange.api_id, {})
    validator = validators.get(method.get("requestValidatorId"))
    if validator is None:
        return None
    if validator.get("validateRequestParameters"):
        headers = dict(exchange.client.headers)
        missing = apigateway_v1._missing_request_parameters(method, request, headers, request["query_params"])
        if missing:
            text = f"Missing required request parameters: [{', '.join(missing)}]"
            exchange.validation_error = text
            return apigateway_v1._GatewayError("BAD_REQUEST_PARAMETERS", text)
    models = method.get("requestModels") or {}
    kind = (exchange.client.header("content-type") or "application/json").partition(";")[0].strip()
    model = models.get(kind) or models.get("$default")
    if not validator.get("validateRequestBody") or not model:
        return None
    wrong = errors_of(exchange.body, exchange.api_id, model)
    if not wrong:
        return None
    exchange.validation_error = f"[{', '.join(wrong)}]"
    return apigateway_v1._GatewayError("BAD_REQUEST_BODY", "Invalid request body")


def errors_of(body: bytes, api: str, model: str) -> list[str]:
    """What is wrong with a body, by the model."""
    try:
        document = strict_json.read(body)
    except ValueError:
        return ["request body is not valid JSON"]
    schema = apigateway_v1._model_schema(api, model)
    if schema is None:
        return []
    # Imported late: this takes a seventh of a second, and few APIs have models.
    import jsonschema
    import referencing.jsonschema

    reference: Any = referencing

    def retrieve(uri: str) -> Any:
        match = _MODEL.match(uri)
        found = apigateway_v1._model_schema(match[1], unquote(match[2])) if match else None
        return reference.Resource(contents=found or {}, specification=reference.jsonschema.DRAFT4)

    formats = jsonschema.FormatChecker(formats=())
    for name, is_valid in apigateway_v1._JSON_FORMATS.items():
        formats.checks(name)(lambda value, of=is_valid: not isinstance(value, str) or of(value))
    registry = reference.Registry(retrieve=retrieve)
    validator = jsonschema.Draft4Validator(schema, registry=registry, format_checker=formats)
    try:
        return list(dict.fromkeys(_texts(list(validator.iter_errors(document)))))
    except RecursionError:
        return ["the body is nested too deeply"]


def _texts(errors: list[ValidationError]) -> Iterator[str]:
    """The errors in the words of the library that API Gateway uses."""
    for error in errors:
        value, limit = error.instance, error.validator_value
        if error.validator == "required":
            missing = sorted(name for name in limit if name not in value)
            yield f"object has missing required properties ({_json(missing)})"
        elif error.validator == "type":
            allowed = sorted(limit if isinstance(limit, list) else [limit])
            kind = _TYPES.get(type(value), "object")
            text = f"instance type ({kind}) does not match any allowed primitive type"
            yield f"{text} (allowed: {_json(allowed)})"
        elif error.validator == "enum":
            yield f"instance value ({_json(value)}) not found in enum (possible values: {_json(limit)})"
        elif error.validator == "additionalProperties":
            known = error.schema.get("properties", {})
            extra = sorted(name for name in value if name not in known)
            yield f"object instance has properties which are not allowed by the schema: {_json(extra)}"
        elif error.validator == "minLength":
            yield f"string {_json(value)} is too short (length: {len(value)}, required minimum: {limit})"
        elif error.validator == "maxLength":
            yield f"string {_json(value)} is too long (length: {len(value)}, maximum allowed: {limit})"
        elif error.validator == "pattern":
            yield f"ECMA 262 regex {_json(limit)} does not match input string {_json(value)}"
        elif error.validator == "minimum":
            yield f"numeric instance is lower than the required minimum (minimum: {limit}, found: {value})"
        elif error.validator == "maximum":
            yield f"numeric instance is greater than the required maximum (maximum: {limit}, found: {value})"
        else:
            yield error.message


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
