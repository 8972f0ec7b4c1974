"""What Lambda refuses of a function and its concurrency.

The emulator accepts any name, timeout, memory size, environment and runtime, and reserves more concurrency
than the account has.

Faithful to: through the API and in CloudFormation, the limits of time and memory, the variables that Lambda
reserves, the 4 KB of an environment, runtimes that do not exist or that Lambda no longer accepts,
the 100 of an account's concurrent executions that stay unreserved, reserved concurrency that is not below the
provisioned one, and that SnapStart excludes
provisioned concurrency.
Not to: the runtimes that were deprecated after January 2024, whose dates AWS keeps moving: they are accepted.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionConcurrency.html
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import botocore.session
from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.lambda_ import concurrency, provisioned

Refusal = tuple[str, str]
"""Code and text of an error."""

_LIMITS = {"Timeout": (1, 900), "MemorySize": (128, 10_240)}
_MANAGED_INSTANCES = {"Timeout": (1, 900), "MemorySize": (128, 32_768)}
_RESERVED = frozenset(
    """
    _HANDLER _X_AMZN_TRACE_ID AWS_DEFAULT_REGION AWS_REGION AWS_EXECUTION_ENV AWS_LAMBDA_FUNCTION_NAME
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_INITIALIZATION_TYPE
    AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME AWS_ACCESS_KEY AWS_ACCESS_KEY_ID
    AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_LAMBDA_RUNTIME_API LAMBDA_TASK_ROOT LAMBDA_RUNTIME_DIR
    AWS_LAMBDA_MAX_CONCURRENCY AWS_LAMBDA_METADATA_API AWS_LAMBDA_METADATA_TOKEN
    """.split()  # noqa: SIM905 - a table reads better than 21 lines
)
_ENDED = frozenset(
    """
    nodejs nodejs4.3 nodejs4.3-edge nodejs6.10 nodejs8.10 nodejs10.x nodejs12.x nodejs14.x python2.7
    python3.6 python3.7 java8 dotnetcore1.0 dotnetcore2.0 dotnetcore2.1 dotnetcore3.1 go1.x ruby2.5 ruby2.7
    provided
    """.split()  # noqa: SIM905 - a table reads better than 20 lines
)
_LARGEST_ENVIRONMENT = 4096
_AFTER = ["iam.deployments", "iam.functions", "lambda_.fifo_destinations", "lambda_.properties"]


@functools.cache
def _runtimes() -> tuple[str, ...]:
    model = botocore.session.get_session().get_service_model("lambda")
    shape: Any = model.shape_for("Runtime")
    return tuple(shape.enum)


def refusal(settings: Mapping[str, Any]) -> Refusal | None:
    """Why Lambda refuses the settings of a function; None if it does not."""
    limits = _MANAGED_INSTANCES if settings.get("CapacityProviderConfig") else _LIMITS
    for name, (low, high) in limits.items():
        value = settings.get(name)
        if value is None or low <= int(value) <= high:
            continue
        limit = f"less than or equal to {high}" if int(value) > high else f"greater than or equal to {low}"
        return _invalid(f"Value '{value}'", name, f"Member must have value {limit}")
    given = settings.get("FunctionName")
    if given and len(given.split(":")[-1]) > 64:
        return _invalid(
            f"Value '{given}'", "FunctionName", "Member must have length less than or equal to 64"
        )
    return _of_runtime(settings.get("Runtime")) or _of_variables(
        (settings.get("Environment") or {}).get("Variables") or {}
    )


def _invalid(value: str, name: str, constraint: str) -> Refusal:
    where = f"{name[0].lower()}{name[1:]}"
    return "ValidationException", (
        f"1 validation error detected: {value} at '{where}' failed to satisfy constraint: {constraint}"
    )


def _of_runtime(runtime: str | None) -> Refusal | None:
    if not runtime or runtime.startswith("arn:"):
        return None
    if runtime not in _runtimes():
        allowed = f"Member must satisfy enum value set: [{', '.join(_runtimes())}] or be a valid ARN"
        text = f"Value {runtime} at 'runtime' failed to satisfy constraint: {allowed}"
        return "InvalidParameterValueException", text
    if runtime in _ENDED:
        return "InvalidParameterValueException", (
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda "
            "functions. We recommend you use a supported runtime while creating or updating functions."
        )
    return None


def _of_variables(variables: Mapping[str, Any]) -> Refusal | None:
    about = "Lambda was unable to configure your environment variables because the environment variables you"
    if reserved := [name for name in variables if name in _RESERVED]:
        return "InvalidParameterValueException", (
            f"{about} have provided contains reserved keys that are currently not supported for "
            f"modification. Reserved keys used in this request: {', '.join(reserved)}"
        )
    written = json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False)
    if len(written.encode()) > _LARGEST_ENVIRONMENT:
        text = f"{about} have provided exceeded the 4KB limit. String measured: {written}"
        return "InvalidParameterValueException", text
    return None


def _of_reserved(name: str, wanted: object) -> Refusal | None:
    if wanted is None:
        return None
    if not str(wanted).removeprefix("-").isdecimal():
        return "SerializationException", f"ReservedConcurrentExecutions {wanted!r} is not an integer."
    if int(str(wanted)) < 0:
        limit = "Member must have value greater than or equal to 0"
        return _invalid(f"Value '{wanted}'", "ReservedConcurrentExecutions", limit)
    given = concurrency.provisioned_of(lambda_svc._functions.get(name) or {})
    if int(str(wanted)) < given:
        return "InvalidParameterValueException", (
            f"ReservedConcurrentExecutions {wanted} should not be lower than function's total provisioned "
            f"concurrency [{given}]."
        )
    least = provisioned.least_unreserved()
    if concurrency.account_limit() - concurrency.set_aside(without=name) - int(str(wanted)) < least:
        return "InvalidParameterValueException", (
            "Specified ReservedConcurrentExecutions for function decreases account's "
            f"UnreservedConcurrentExecution below its minimum value of [{least}]."
        )
    return None


def _of_snap_start(name: str, qualifier: str) -> Refusal | None:
    function = lambda_svc._functions.get(name) or {}
    alias = function.get("aliases", {}).get(qualifier) or {}
    record = function.get("versions", {}).get(alias.get("FunctionVersion", qualifier)) or {}
    if (record.get("config", {}).get("SnapStart") or {}).get("ApplyOn") != "PublishedVersions":
        return None
    text = "Provisioned Concurrency is not supported for functions enabled with SnapStart."
    return "InvalidParameterValueException", text


# --- The API


def _answer(found: Refusal | None) -> Any:
    return error_response_json(*found, 400) if found else None


@around(lambda_svc, "_create_function", after=_AFTER)
def _create_function(stock: Callable[[Properties], Any], data: Properties) -> Any:
    return _answer(refusal(data)) or stock(data)


@around(lambda_svc, "_update_config", after=_AFTER)
def _update_config(stock: Callable[[str, Properties], Any], name: str, data: Properties) -> Any:
    config = (lambda_svc._functions.get(name) or {}).get("config") or {}
    capacity = {"CapacityProviderConfig": config.get("CapacityProviderConfig")}
    return _answer(refusal(capacity | data)) or stock(name, data)


@around(lambda_svc, "_put_function_concurrency")
def _put_function_concurrency(stock: Callable[..., Any], func_name: str, data: Properties) -> Any:
    wanted = data.get("ReservedConcurrentExecutions")
    return _answer(_of_reserved(func_name, wanted)) or stock(func_name, data)


@around(lambda_svc, "_put_provisioned_concurrency", after=["lambda_.provisioned"])
def _put_provisioned(stock: Callable[..., Any], func_name: str, qualifier: str, data: Properties) -> Any:
    return _answer(_of_snap_start(func_name, qualifier)) or stock(func_name, qualifier, data)


# --- CloudFormation


_FUNCTION = resource("AWS::Lambda::Function", after=_AFTER)


@_FUNCTION.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    name = str(properties.get("FunctionName") or "")
    _require(refusal(properties) or _of_reserved(name, properties.get("ReservedConcurrentExecutions")))
    return stock(logical_id, properties, stack)


@_FUNCTION.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _require(refusal(new) or _of_reserved(physical_id, new.get("ReservedConcurrentExecutions")))
    return stock(physical_id, old, new, stack, logical_id)


def _require(found: Refusal | None) -> None:
    if found is not None:
        raise ValueError(
            f'Resource handler returned message: "{found[1]} (Service: Lambda, Status Code: 400)"'
        )
