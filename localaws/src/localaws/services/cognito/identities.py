"""Identity pools give credentials only for tokens that prove who signed in, and to guests that they allow.

The emulator verifies tokens only while it enforces IAM. It gives credentials for every identity id, also to
guests of a pool that has none, invents a role for a pool without roles, asks no role whether it trusts the
pool, gives policies nothing of the identity, and does not know DeleteIdentities. It gives tokens for the
classic flow, whatever the pool says about that.

Faithful to: GetId, GetCredentialsForIdentity and GetOpenIdToken refuse a token with another signature, issuer
or audience, and an expired one, with NotAuthorizedException; likewise a guest if the pool does not allow
unauthenticated identities, and the token of a user who is disabled, deleted or signed out everywhere, if the
pool asks the user pool (ServerSideTokenCheck). An unknown identity fails with ResourceNotFoundException, a
pool without a role for that kind of identity, or whose role does not trust it, with
InvalidIdentityPoolConfigurationException. Policies of the role see `cognito-identity.amazonaws.com:sub`,
`:aud` and `:amr`, as conditions and as policy variables. DeleteIdentities works. GetOpenIdToken is refused
where AllowClassicFlow is false; a pool that was made without AllowClassicFlow has none, and gives tokens.
Not to: tokens of other providers than user pools are not verified, but the pool must name the provider. Role
mappings and principal tags are not evaluated, and guests have no scope-down policy. AWS does not document
the message for a user who has signed out.

https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_GetCredentialsForIdentity.html
https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_GetId.html
https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_DeleteIdentities.html
https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_GetOpenIdToken.html
https://docs.aws.amazon.com/cognito/latest/developerguide/authentication-flow.html
https://github.com/aws/aws-cli/issues/7652
https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_CognitoIdentityProvider.html
https://docs.aws.amazon.com/cognito/latest/developerguide/identity-pools.html
https://docs.aws.amazon.com/cognito/latest/developerguide/role-trust-and-permissions.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import error_response_json, get_region, json_response
from ministack.services import cognito, iam, sts

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.iam.shapes import new_credentials

_PROVIDER = "cognito-identity.amazonaws.com"
_CLASSIC = "AllowClassicFlow"


@around(cognito, "_create_identity_pool")
def _create_identity_pool(stock: Callable[[Properties], Any], data: Properties) -> Any:
    status, headers, body = stock(data)
    if status != 200 or _CLASSIC in data:
        return status, headers, body
    pool = cognito._identity_pools[json.loads(body)["IdentityPoolId"]]
    del pool[_CLASSIC]
    return json_response(cognito._identity_pool_out(pool))


@resource("AWS::Cognito::IdentityPool").create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    made = stock(logical_id, properties, stack)
    if _CLASSIC not in properties:
        del cognito._identity_pools[made[0]][_CLASSIC]
    return made


@around(cognito, "_get_id")
def _get_id(stock: Callable[[Properties], Any], data: Properties) -> Any:
    pool = cognito._identity_pools.get(data.get("IdentityPoolId"))
    return (pool and _refusal(pool, None, data.get("Logins") or {})) or stock(data)


@around(cognito, "_get_open_id_token")
def _get_open_id_token(stock: Callable[[Properties], Any], data: Properties) -> Any:
    pool, identity = _pool_of(data)
    if pool and str(pool.get(_CLASSIC)).lower() == "false":
        message = "Basic (classic) flow is not enabled, please use enhanced flow."
        return _error("InvalidParameterException", message)
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
    if not role or not _is_trusted(role, _keys(pool, identity, logins)):
        message = "Invalid identity pool configuration. Check assigned IAM roles for this pool."
        return _error("InvalidIdentityPoolConfigurationException", message)
    status, headers, body = stock(data)
    answer = json.loads(body)
    session = sts._sessions.pop(answer["Credentials"]["AccessKeyId"])
    key, secret, token = new_credentials()
    named = {
        "UserId": f"{sts._role_id(role)}:CognitoIdentityCredentials",
        "_localaws_keys": _keys(pool, answer["IdentityId"], logins),
    }
    sts.register_session(key, {**session, **named, "SecretAccessKey": secret, "SessionToken": token})
    answer["Credentials"] |= {"AccessKeyId": key, "SecretKey": secret, "SessionToken": token}
    return status, headers, json.dumps(answer).encode()


@around(cognito, "_dispatch_identity")
async def _dispatch_identity(stock: Callable[..., Awaitable[Any]], action: str, data: Properties) -> Any:
    if action != "DeleteIdentities":
        return await stock(action, data)
    asked = data.get("IdentityIdsToDelete") or []
    for pool in cognito._identity_pools.values():
        for identity in asked:
            pool["_identities"].pop(identity, None)
    return json_response({"UnprocessedIdentityIds": []})


@around([iam_evaluator, sts], "_principal_keys")
def _principal_keys(
    stock: Callable[..., Properties], credential: iam_evaluator.ResolvedCredential
) -> Properties:
    session = sts._sessions.get(credential.access_key_id) or {}
    keys: Properties = session.get("_localaws_keys", {})
    return stock(credential) | keys


def _keys(pool: Properties, identity: str, logins: Properties) -> Properties:
    """The condition keys of an identity, which are the claims of its token."""
    methods = cognito._identity_login_fields(logins)[0]
    return {
        f"{_PROVIDER}:sub": identity,
        f"{_PROVIDER}:aud": pool["IdentityPoolId"],
        f"{_PROVIDER}:amr": methods,
    }


def _is_trusted(role: str, keys: Properties) -> bool:
    """Whether a role exists and may be assumed by an identity with these keys."""
    account = role.split(":")[4]
    known = iam._roles.get_scoped(account, None, role.rpartition("/")[2])
    request = iam_evaluator.EvalContext(
        principal_arn=_PROVIDER,
        principal_type="WebIdentityUser",
        principal_account=account,
        action="sts:AssumeRoleWithWebIdentity",
        resource_arn=role,
        region=get_region(),
        service_context=keys,
    )
    trust = (known or {}).get("AssumeRolePolicyDocument", "{}")
    return bool(iam_evaluator.evaluate_trust_policy(trust, _PROVIDER, request))


def _pool_of(data: Properties) -> tuple[Properties | None, str]:
    identity = data.get("IdentityId", "")
    found = (pool for pool in cognito._identity_pools.values() if identity in pool["_identities"])
    return next(found, None), identity


def _refusal(pool: Properties, identity: str | None, logins: Properties) -> Any:
    """The error for logins that prove nothing, and for a guest whom the pool does not allow."""
    if refused := cognito._identity_logins_error(pool, identity, logins):
        return refused
    if any(_has_left(pool, provider, token) for provider, token in logins.items()):
        return _error("NotAuthorizedException", "Invalid login token. The user has signed out.")
    if not logins and not pool.get("AllowUnauthenticatedIdentities"):
        message = "Unauthenticated access is not supported for this identity pool."
        return _error("NotAuthorizedException", message)
    return None


def _has_left(pool: Properties, provider: str, token: str) -> bool:
    """Whether the pool asks the user pool about its users, and this one may not go on with the token."""
    claims = cognito._token_claims(token)
    asked = any(
        one.get("ProviderName") == provider
        and one.get("ClientId") == claims.get("aud")
        and str(one.get("ServerSideTokenCheck")).lower() == "true"
        for one in pool.get("CognitoIdentityProviders") or []
    )
    if not asked:
        return False
    user = cognito._token_owner({"iss": claims["iss"], "username": claims.get("cognito:username")})
    is_active = bool(user) and user.get("Enabled", True)
    return not is_active or claims.get("origin_jti") in cognito._revoked_tokens


def _error(code: str, message: str) -> Any:
    return error_response_json(code, message, 400)
