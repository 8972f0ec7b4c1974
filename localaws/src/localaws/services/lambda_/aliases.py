"""Weighted aliases, the ARN of the alias in invocations, and which versions and weights an alias may have.

The emulator stores the weights and always runs the main version of an alias. A function that another service
invokes through an alias sees the ARN of the version, and the settings of the alias do not apply. An alias may
have any name and version; one of a version that does not exist runs `$LATEST`.

Faithful to:
- Each invocation, of whatever source, selects a version by the weights. `invoked_function_arn` is that of the
  alias.
- A version must exist; `$LATEST` cannot be combined with another version; at most one additional version, a
  different one, with the same role and dead-letter queue. An update is validated with its result. A
  deployment fails for the same reasons and is rolled back.
Not to: provisioned concurrency in the selection of the version; the wording of errors that AWS does not
document.

https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import SystemRandom
from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, around, resource

_random = SystemRandom()

Record = dict[str, Any]


def function_of(config: Record) -> tuple[Record | None, str | None]:
    """The function of a configuration, and the qualifier in its ARN."""
    _, _, _, region, account, _, name, *qualifier = config["FunctionArn"].split(":")
    return lambda_svc._functions.get_scoped(account, region, name), qualifier[0] if qualifier else None


@around(lambda_svc, "_effective_func_record_for_qualifier")
def _effective(
    stock: Callable[..., tuple[Record | None, Record | None]], func: Record | None, qualifier: str | None
) -> tuple[Record | None, Record | None]:
    """The record and configuration behind a qualifier, with the ARN of the alias if it is one."""
    record, config = stock(func, qualifier)
    if not record or not config or not func or qualifier not in func["aliases"]:
        return record, config
    config = config | {"FunctionArn": func["aliases"][qualifier]["AliasArn"]}
    return record | {"config": config}, config


def routed(func: Record, config: Record) -> Record:
    """The record that an invocation runs: that of another version, if the alias's weights select it.

    Args:
        func: The emulator's record of what was invoked.
        config: Its configuration, with the ARN that was invoked.
    """
    owner, qualifier = function_of(config)
    alias = (owner or {}).get("aliases", {}).get(qualifier) or {}
    drawn = _random.random()
    for version, weight in _weights(alias).items():
        drawn -= float(weight)
        if drawn < 0 and owner and version in owner["versions"]:
            chosen: Record = owner["versions"][version]
            return chosen | {"config": chosen["config"] | {"FunctionArn": config["FunctionArn"]}}
    return func


def _weights(alias: Record) -> dict[str, float]:
    return (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}


# --- Rules

_LATEST = "$LATEST"

Response = tuple[int, dict[str, Any], bytes]


class Refused(Exception):
    """An alias that Lambda refuses, with the error code and status of the response."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def check(func: Record, version: str, weights: dict[str, float]) -> None:
    """Validate an alias.

    Args:
        func: The emulator's record of the function.
        version: Its version.
        weights: The share of each further version.

    Raises:
        Refused: Lambda does not allow it.
    """
    for one in (version, *weights):
        if one != _LATEST and one not in func["versions"]:
            arn = f"{func['config']['FunctionArn']}:{one}"
            raise Refused("ResourceNotFoundException", f"Function not found: {arn}", 404)
    if weights:
        _check_routing_weights(func, version, weights)


def _check_routing_weights(func: Record, version: str, weights: dict[str, float]) -> None:
    def refuse(message: str) -> None:
        raise Refused("InvalidParameterValueException", message)

    if len(weights) > 1:
        refuse("Number of items in AdditionalVersionWeights cannot be greater than 1")
    (other,) = weights
    if _LATEST in (version, other):
        refuse("$LATEST is not supported for an alias pointing to more than 1 version")
    if version == other:
        refuse(f"Invalid function version {other}. It is already included in the routing configuration.")
    ours, theirs = (func["versions"][one]["config"] for one in (version, other))
    if ours["Role"] != theirs["Role"]:
        refuse("Specified versions must be associated with the same execution role")
    if _dead_letters(ours) != _dead_letters(theirs):
        refuse("Specified versions must have the same dead-letter queue configuration, or none")


def _dead_letters(config: Record) -> str:
    return (config.get("DeadLetterConfig") or {}).get("TargetArn") or ""


def _routing_weights(routing: Record | None) -> dict[str, float]:
    return (routing or {}).get("AdditionalVersionWeights") or {}


@around(lambda_svc, "_create_alias")
def _create_alias(stock: Callable[[str, Record], Response], func_name: str, data: Record) -> Response:
    func = lambda_svc._functions.get(func_name)
    if func:
        try:
            version = data.get("FunctionVersion", "")
            check(func, version, _routing_weights(data.get("RoutingConfig")))
        except Refused as refused:
            return _answer(refused)
    return stock(func_name, data)


@around(lambda_svc, "_update_alias")
def _update_alias(
    stock: Callable[[str, str, Record], Response], func_name: str, alias_name: str, data: Record
) -> Response:
    func = lambda_svc._functions.get(func_name)
    alias = (func or {}).get("aliases", {}).get(alias_name)
    if func and alias:
        wanted = alias | {key: value for key, value in data.items() if value is not None}
        routing = data["RoutingConfig"] if "RoutingConfig" in data else alias.get("RoutingConfig")
        try:
            check(func, wanted["FunctionVersion"], _routing_weights(routing))
        except Refused as refused:
            return _answer(refused)
    return stock(func_name, alias_name, data)


def _answer(refused: Refused) -> Response:
    answer: Response = lambda_svc.error_response_json(refused.code, str(refused), refused.status)
    return answer


@resource("AWS::Lambda::Alias").create
def _create_in_template(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _check_deployed(properties)
    return stock(logical_id, properties, stack)


@resource("AWS::Lambda::Alias").update
def _update_in_template(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _check_deployed(new)
    return stock(physical_id, old, new, stack, logical_id)


def _check_deployed(properties: Properties) -> None:
    """Fail the deployment of an alias that Lambda refuses, with its reason."""
    func = provisioners._lambda_function_for_cfn_ref(properties.get("FunctionName", ""))[0]
    if not func:
        return
    weights = _routing_weights(provisioners._lambda_alias_routing_config(properties))
    try:
        check(func, str(properties.get("FunctionVersion", "")), weights)
    except Refused as refused:
        reason = f"{refused} (Service: Lambda, Status Code: {refused.status})"
        raise ValueError(f'Resource handler returned message: "{reason}"') from None
