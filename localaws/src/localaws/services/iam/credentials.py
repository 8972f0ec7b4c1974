"""Credentials that only their owner knows: of root users, of functions, and of the image registry.

The emulator takes `test` and every account id for a root user's key, all with one secret and unverified. The
credentials of a function are a hash of its ARN and its role's, which every user of the machine can compute.

Faithful to: the secrets are random for each start. Each account's root user has a key of its own.
Not to: a root user's key is the id of its account.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_root-user.html
https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_evaluator, lambda_runtime, rds_iam
from ministack.services import ecr, s3, s3_object_lambda, sts

from localaws.patching import around
from localaws.server import credentials
from localaws.server.gate import unproven

_KEY_ID = "ASIA"


@around(lambda_runtime, "execution_credentials")
def _execution_credentials(
    stock: Callable[[dict[str, Any]], dict[str, str]], config: dict[str, Any]
) -> dict[str, str]:
    given = stock(config)
    start = credentials.current()
    key = given["AWS_ACCESS_KEY_ID"]
    session = sts._sessions.pop(key, None)
    if session is None:  # without IAM, functions have their account's root credentials
        return {**given, "AWS_SECRET_ACCESS_KEY": start.root_secret(key)}
    key = _KEY_ID + base64.b32encode(bytes.fromhex(start.token("function-key", key))).decode()[:16]
    secret, token = start.secret_key("function-secret", key), start.session_token("function-token", key)
    _, _, name = session["UserId"].partition(":")
    named = {"UserId": f"{sts._role_id(config['Role'])}:{name}"}
    sts.register_session(key, {**session, **named, "SecretAccessKey": secret, "SessionToken": token})
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


@around([iam_evaluator, rds_iam, s3, s3_object_lambda], "resolve_credential")
def _resolve_credential(
    stock: Callable[..., Any],
    access_key_id: str,
    account_id: str | None = None,
    session_token: Any = iam_evaluator._SESSION_TOKEN_NOT_CHECKED,
) -> Any:
    """The credentials of a key, where the emulator itself verifies: forms, tokens of databases."""
    found = stock(access_key_id, account_id, session_token)
    if not access_key_id or not iam_evaluator.is_root_access_key(access_key_id):
        return found
    account = credentials.current().root_account(access_key_id)
    if account is None:
        return iam_evaluator._unknown_access_key()
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        return found
    return dataclasses.replace(found, secret_access_key=credentials.current().root_secret(account))


@around(iam_evaluator, "authenticate")
def _authenticate(stock: Callable[[str, str], Any], access_key_id: str, account_id: str) -> Any:
    """Refuse a signature at a public front that does not hold; the emulator does not verify those of root."""
    refused = unproven.get()
    return (
        iam_evaluator.AuthError(refused.code, refused.message)
        if refused
        else stock(access_key_id, account_id)
    )


@around(iam_evaluator, "authenticate_handshake")
def _authenticate_handshake(
    stock: Callable[..., Any], scope: dict[str, Any], service: str | None = None
) -> Any:
    refused = unproven.get()
    return iam_evaluator.AuthError(refused.code, refused.message) if refused else stock(scope, service)


@around(ecr, "_get_authorization_token")
def _get_authorization_token(stock: Callable[[Any], tuple[int, Any, Any]], data: Any) -> tuple[int, Any, Any]:
    status, headers, body = stock(data)
    answer = json.loads(body)
    token = credentials.current().token(credentials.REGISTRY)
    for entry in answer.get("authorizationData", []):
        entry["authorizationToken"] = base64.b64encode(f"AWS:{token}".encode()).decode()
    return status, headers, json.dumps(answer).encode()
