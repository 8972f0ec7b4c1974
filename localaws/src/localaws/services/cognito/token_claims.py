"""What the pre token generation trigger puts into tokens.

The emulator invokes the trigger once for each token, ignores its failure, lets it change every claim, looks
for the groups of a V2 response in the wrong place, treats `PreTokenGenerationConfig` with V1_0 as V2_0, and
calls each address verified.

Faithful to: one event for all tokens of a sign-in or refresh. V1_0 changes the ID token, and the groups in
both tokens; V2_0 and V3_0 change both tokens and the scopes; only V3_0 is invoked for client credentials. The
claims that identify user, client, pool and token cannot be changed. A claim that is both added and suppressed
is suppressed. `email_verified` in the ID token is true only if the address of the user is verified.
A validity of five minutes, the shortest that Cognito allows, is shortened here, so that a test can wait for
its end; longer ones last as long as in AWS.
Not to: the types of claims, of which V1_0 allows only strings; the IAM roles in a response.

https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.services import cognito

from localaws import pace
from localaws.patching import Properties, around, replaces
from localaws.services.cognito import triggers

# https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html
_FIXED = (
    {"acr", "amr", "at_hash", "aud", "auth_time", "azp", "client_id", "cognito:username", "exp", "iat"}
    | {"identities", "iss", "jti", "nbf", "nonce", "origin_jti", "sub", "token_use", "username"}
)  # fmt: skip

_SHORTEST = 300  # seconds

# The response of the trigger for the tokens that are being made now.
_response: ContextVar[dict[str, Properties] | None] = ContextVar("localaws_token_response", default=None)


@around(cognito, "_oauth2_token", after=["cognito.triggers"])
@around(cognito, "_build_auth_result", after=["cognito.trigger_points"])
def _once(stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    token = _response.set({})
    try:
        return stock(*args, **kwargs)
    finally:
        _response.reset(token)


@around(cognito, "_token_validity")
def _token_validity(stock: Callable[..., int], pool_id: str, client_id: str, token_type: str) -> int:
    seconds = stock(pool_id, client_id, token_type)
    return max(1, int(pace.shortened(seconds))) if seconds <= _SHORTEST else seconds


@around(cognito, "_fake_token")
def _token(stock: Callable[..., str], *args: Any, **kwargs: Any) -> str:
    attributes = kwargs.get("user_attrs") or {}
    if "email" in attributes:
        kwargs["user_attrs"] = {"email_verified": "false", **attributes}
    return stock(*args, **kwargs)


@around(cognito, "_build_pretoken_event")
def _build_pretoken_event(stock: Callable[..., Properties], *args: Any, **kwargs: Any) -> Properties:
    event = stock(*args, **kwargs)
    user = cognito._get_pool_unscoped(event["userPoolId"])["_users"].get(event["userName"])
    if user:
        event["request"]["userAttributes"]["cognito:user_status"] = user["UserStatus"]
    return event


@replaces(cognito, "_apply_pretoken_trigger")
def _apply_pretoken_trigger(
    pool_id: str,
    claims: Properties,
    token_type: str,
    trigger_source: str,
    client_id: str,
    username: str,
    user_attrs: Properties,
    groups: list[str],
    client_metadata: Properties | None = None,
    scope: str = "",
) -> Properties:
    pool = cognito._get_pool_unscoped(pool_id) or {}
    function = triggers.function_of(pool, "PreTokenGeneration")
    settings = (pool.get("LambdaConfig") or {}).get("PreTokenGenerationConfig") or {}
    # Only ID tokens have an audience.
    version, access = settings.get("LambdaVersion", "V1_0"), "aud" not in claims
    if not function or (trigger_source == "TokenGeneration_ClientCredentials" and version != "V3_0"):
        return claims
    made = _response.get()
    response = made.get(pool_id) if made is not None else None
    if response is None:
        event = cognito._build_pretoken_event(
            pool_id, client_id, username, user_attrs, groups, trigger_source, version, client_metadata, scope
        )
        response = triggers.invoke(function, event)
        if made is not None:
            made[pool_id] = response
    if version == "V1_0":
        details = response.get("claimsOverrideDetails") or {}
        changes = {} if access else details
    else:
        details = response.get("claimsAndScopeOverrideDetails") or {}
        changes = details.get("accessTokenGeneration" if access else "idTokenGeneration") or {}
    changed = {**claims, **(changes.get("claimsToAddOrOverride") or {})}
    for name in changes.get("claimsToSuppress") or ():
        changed.pop(name, None)
    if access and version != "V1_0":
        suppressed, added = changes.get("scopesToSuppress") or (), changes.get("scopesToAdd") or ()
        kept = [one for one in claims.get("scope", "").split() if one not in suppressed]
        changed["scope"] = " ".join(dict.fromkeys([*kept, *added]))
    if "groupOverrideDetails" in details:
        changed["cognito:groups"] = (details["groupOverrideDetails"] or {}).get("groupsToOverride") or []
        if not changed["cognito:groups"]:
            del changed["cognito:groups"]
    free = {name: value for name, value in changed.items() if name not in _FIXED}
    return free | {name: value for name, value in claims.items() if name in _FIXED}
