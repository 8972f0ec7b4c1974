"""Identity pools give credentials only for tokens that prove who signed in, and to guests that they allow.

The emulator verifies tokens only while it enforces IAM. It gives credentials for every identity id, also to
guests of a pool that has none, and invents a role for a pool without roles.

Faithful to: GetId, GetCredentialsForIdentity and GetOpenIdToken refuse a token with another signature, issuer
or audience, and an expired one, with NotAuthorizedException; likewise a guest if the pool does not allow
unauthenticated identities. An unknown identity fails with ResourceNotFoundException, a pool without a role
for that kind of identity with InvalidIdentityPoolConfigurationException.
Not to: tokens of other providers than user pools are not verified, but the pool must name the provider. The
trust policy of the role and role mappings are not evaluated.

https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_GetCredentialsForIdentity.html
https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_GetId.html
https://docs.aws.amazon.com/cognito/latest/developerguide/identity-pools.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import cognito, sts

from localaws.patching import Properties, around
from localaws.services.iam.shapes import new_credentials


@around(cognito, "_get_id")
def _get_id(stock: Callable[[Properties], Any], data: Properties) -> Any:
    pool = cognito._identity_pools.get(data.get("IdentityPoolId"))
    return (pool and _refusal(pool, None, data.get("Logins") or {})) or stock(data)


@around(cognito, "_get_open_id_token")
def _get_open_id_token(stock: Callable[[Properties], Any], data: Properties) -> Any:
    pool, identity = _pool_of(data)
    return (pool and _refusal(pool, identity, data.get("Logins") or {})) or stock(data)


@around(cognito, "_get_credentials_for_identity")
def _get_credentials_for_identity(stock: Callable[[Properties], Any], data: Properties) -> Any:
    pool, identity = _pool_of(data)
    if pool is None:
        return _error("ResourceNotFoundException", f"Identity '{identity}' not found.")
    logins = data.get("Logins") or {}
    if refusal := _refusal(pool, identity, logins):
        return refusal
    role = pool.get("_roles", {}).get("authenticated" if logins else "unauthenticated")
    if not role:
        message = "Invalid identity pool configuration. Check assigned IAM roles for this pool."
        return _error("InvalidIdentityPoolConfigurationException", message)
    status, headers, body = stock(data)
    answer = json.loads(body)
    session = sts._sessions.pop(answer["Credentials"]["AccessKeyId"])
    key, secret, token = new_credentials()
    named = {"UserId": f"{sts._role_id(role)}:CognitoIdentityCredentials"}
    sts.register_session(key, {**session, **named, "SecretAccessKey": secret, "SessionToken": token})
    answer["Credentials"] |= {"AccessKeyId": key, "SecretKey": secret, "SessionToken": token}
    return status, headers, json.dumps(answer).encode()


def _pool_of(data: Properties) -> tuple[Properties | None, str]:
    identity = data.get("IdentityId", "")
    found = (pool for pool in cognito._identity_pools.values() if identity in pool["_identities"])
    return next(found, None), identity


def _refusal(pool: Properties, identity: str | None, logins: Properties) -> Any:
    """The error for logins that prove nothing, and for a guest whom the pool does not allow."""
    if refused := cognito._identity_logins_error(pool, identity, logins):
        return refused
    if not logins and not pool.get("AllowUnauthenticatedIdentities"):
        message = "Unauthenticated access is not supported for this identity pool."
        return _error("NotAuthorizedException", message)
    return None


def _error(code: str, message: str) -> Any:
    return error_response_json(code, message, 400)
