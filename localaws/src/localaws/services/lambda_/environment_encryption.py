"""Environment variables under a customer managed key: grants, cold starts, readers without access.

The emulator stores the key and does nothing with it.

Faithful to: Lambda gives the function's role a grant on the key, for decryption with the function's ARN as
encryption context, when key or role are set, and retires it when they change or the function is deleted.
A new execution environment needs the key: if it is disabled, is pending deletion or is gone, or the role may
use it neither by a grant nor by policies, `Invoke` returns 502 with the documented exception. Environments
that run go on. A caller who may not decrypt gets `Environment.Error` in place of the variables, also in the
answer to a change. A function is not created or changed with a key that is not usable.
Not to: that who deploys needs `kms:Encrypt` and `kms:CreateGrant`; the ciphertext; the texts of some errors.
Node.js needs no key.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
https://docs.aws.amazon.com/lambda/latest/api/API_EnvironmentError.html
https://docs.aws.amazon.com/lambda/latest/api/API_EnvironmentResponse.html
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_region
from ministack.core.router import extract_access_key_id
from ministack.services import kms, lambda_svc

from localaws.patching import Properties, around
from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.iam.roles import iam_is_enforced, role_allows
from localaws.services.lambda_.start_refusals import StartRefusedError

Answer = tuple[int, dict[str, str], bytes]

_CONTEXT = "kms:EncryptionContext:aws:lambda:FunctionArn"
_SHOWN = re.compile(r"/2015-03-31/functions(/[^/]+(/configuration|/versions|/code)?)?/?")
_DISABLED = ("KMSDisabledException", "because the KMS key used is disabled")
_INVALID = ("KMSInvalidStateException", "because the state of the KMS key used is not valid")
_DENIED = ("KMSAccessDeniedException", "because KMS access was denied")
_NOT_FOUND = ("KMSNotFoundException", "because the KMS key was not found")


# --- Grants


@refuses("lambda", "CreateFunction", "UpdateFunctionConfiguration")
def _unusable(function: Parameters) -> Refusal | None:
    key = function.get("KMSKeyArn")
    record = kms._resolve_key(key) if key else None
    if not key or (record and record["KeyState"] == "Enabled" and "_symmetric_key" in record):
        return None
    return Refusal(
        "InvalidParameterValueException",
        f"Lambda was unable to configure access to your environment variables because the KMS key {key} is "
        "invalid for CreateGrant. Please check your KMS key settings.",
    )


_ORDER = ["iam.functions", "lambda_.fifo_destinations", "lambda_.function_limits", "lambda_.images"]


@around(lambda_svc, "_create_function", after=_ORDER)
def _create_function(stock: Callable[[Properties], Any], data: Properties) -> Any:
    answer = stock(data)
    grant(str(data.get("FunctionName")).split(":")[-1])
    return answer


@around(lambda_svc, "_update_config", after=_ORDER)
def _update_config(stock: Callable[[str, Properties], Any], name: str, data: Properties) -> Any:
    answer = stock(name, data)
    if {"KMSKeyArn", "Role"} & data.keys():
        grant(name)
    return answer


@around(lambda_svc, "_delete_function", after=["lambda_.function_url_configs"])
def _delete_function(stock: Callable[..., Any], name: str, *arguments: Any, **named: Any) -> Any:
    function = lambda_svc._functions.get(name)
    answer = stock(name, *arguments, **named)
    if function is not None and name not in lambda_svc._functions:
        _retire(_arn_of(function["config"]))
    return answer


def grant(name: str) -> None:
    """Give the role of a function the grant that it needs, and retire those that it had."""
    function = lambda_svc._functions.get(name)
    if function is None:
        return
    config = function["config"]
    arn = _arn_of(config)
    _retire(arn)
    if key := config.get("KMSKeyArn"):
        kms._create_grant(
            {
                "KeyId": key,
                "GranteePrincipal": config["Role"],
                "Operations": ["Decrypt", "RetireGrant"],
                "Constraints": {"EncryptionContextEquals": {"aws:lambda:FunctionArn": arn}},
            }
        )


def _retire(arn: str) -> None:
    for identity, given in list(kms._grants.items()):
        if _context_of(given) == arn:
            del kms._grants[identity]


def _context_of(grant: dict[str, Any]) -> str | None:
    equals = (grant.get("Constraints") or {}).get("EncryptionContextEquals") or {}
    return equals.get("aws:lambda:FunctionArn") if len(equals) == 1 else None


def _arn_of(config: dict[str, Any]) -> str:
    return ":".join(str(config["FunctionArn"]).split(":")[:7])


# --- Environments that start


def require_key(config: dict[str, Any]) -> None:
    """Check that the role of a function can decrypt its variables, for a new environment.

    Raises:
        StartRefusedError: It cannot.
    """
    if config.get("KMSKeyArn") and (refused := _refused(config)):
        kind, reason = refused
        text = f"Lambda was unable to decrypt the environment variables {reason}. Please check the "
        raise StartRefusedError(kind, 502, f"{text}function's KMS key settings.")


def _unusable_state(key: dict[str, Any] | None) -> tuple[str, str] | None:
    """Why a key cannot be used: exception and reason."""
    if key is None:
        return _NOT_FOUND
    if key["KeyState"] == "Enabled":
        return None
    return _DISABLED if key["KeyState"] == "Disabled" else _INVALID


def _refused(config: dict[str, Any]) -> tuple[str, str] | None:
    """Why the role of a function cannot decrypt its variables: exception and reason."""
    key = kms._resolve_key(config["KMSKeyArn"])
    if unusable := _unusable_state(key):
        return unusable
    arn = _arn_of(config)
    granted = any(
        grant["KeyId"] == key["Arn"]
        and grant["GranteePrincipal"] == config["Role"]
        and "Decrypt" in grant["Operations"]
        and _context_of(grant) in (arn, None)
        for grant in kms._grants.values()
    )
    if granted or role_allows(config["Role"], "kms:Decrypt", key["Arn"], {_CONTEXT: arn}):
        return None
    return _DENIED


# --- Readers

_OUTERMOST = [
    "lambda_.event_invoke_configs",
    "lambda_.cross_account",
    "lambda_.payloads",
    "lambda_.layers",
    "lambda_.resource_policies",
]


@around(lambda_svc, "handle_request", after=_OUTERMOST)
async def _handle_request(
    stock: Callable[..., Awaitable[Answer]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Answer:
    status, answered, content = await stock(method, path, headers, body, query_params)
    if status >= 300 or not _SHOWN.fullmatch(path) or b'"KMSKeyArn": "arn' not in content:
        return status, answered, content
    found = json.loads(content)
    shown = found.get("Functions") or found.get("Versions") or [found.get("Configuration") or found]
    for config in shown:
        if config.get("KMSKeyArn") and config.get("Environment", {}).get("Variables"):
            error = _unreadable(config, headers, query_params)
            if error:
                config["Environment"] = {"Error": error}
    return status, answered, json.dumps(found).encode()


def _unreadable(config: dict[str, Any], headers: dict[str, str], query: Any) -> dict[str, str] | None:
    key = kms._resolve_key(config["KMSKeyArn"])
    if unusable := _unusable_state(key):
        kind, reason = unusable
    elif iam_is_enforced() and _is_denied(key["Arn"], _arn_of(config), headers, query):
        kind, reason = "AccessDeniedException", _DENIED[1]
    else:
        return None
    text = f"Lambda was unable to decrypt your environment variables {reason}. Please check your KMS "
    return {"ErrorCode": kind, "Message": f"{text}permissions."}


def _is_denied(key: str, arn: str, headers: dict[str, str], query: Any) -> bool:
    denied = iam_evaluator.enforce(
        extract_access_key_id(headers, query),
        "kms:Decrypt",
        "kms",
        get_region(),
        resource_arn=key,
        service_context={_CONTEXT: arn},
    )
    return isinstance(denied, iam_evaluator.EvalResult)
