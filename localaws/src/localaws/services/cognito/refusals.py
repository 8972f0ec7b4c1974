"""What Cognito refuses of user pools, app clients and the attributes of users.

Faithful to: a pool has alias attributes or username attributes, attributes with one name each and of at most
2,048 characters, and a domain without the words of AWS; a client has tokens that last as long as Cognito
allows, callback URLs with HTTPS, a secret for client credentials, providers and scopes that exist, and flows
of one generation; a user has attributes of the schema, of which users write those that their client may
write, and never `sub` or those that say whether another one is verified; no caller changes `sub`, or another
attribute that is not mutable; a pool whose users only administrators create has no sign-up; of a password,
the first rule that it breaks.
Not to: attributes that a pool adds, which a client without a list of its own may write here; the words about
callback URLs, flows and domains; the lengths of values that the schema sets.

https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_CreateUserPool.html
https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_CreateUserPoolClient.html
https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_SignUp.html
https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_UpdateUserAttributes.html
https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-settings-attributes.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ministack.services import cognito

from localaws.patching import around
from localaws.refusals import Parameters, Refusal, refuses

_MINUTES = {"seconds": 1 / 60, "minutes": 1, "hours": 60, "days": 1440}
_DAY = 1440
# Each token: the unit without TokenValidityUnits, and the limits in minutes.
_TOKENS = {
    "AccessToken": ("hours", 5, _DAY),
    "IdToken": ("hours", 5, _DAY),
    "RefreshToken": ("days", 60, 3650 * _DAY),
}
_LONGEST, _PHONE = 2048, re.compile(r"\+\d{1,15}")
_RESERVED_WORDS = ("aws", "amazon", "cognito")
_SCOPES = ("phone", "email", "openid", "profile", "aws.cognito.signin.user.admin")
_NOT_FOR_USERS = ("sub", "email_verified", "phone_number_verified")


def _invalid(text: str) -> Refusal:
    return Refusal("InvalidParameterException", text)


# --- Pools


@refuses("cognito-idp", "CreateUserPool")
def _pool(pool: Parameters) -> Refusal | None:
    if pool.get("AliasAttributes") and pool.get("UsernameAttributes"):
        text = "Only one of the aliasAttributes or usernameAttributes can be set in a user pool."
        return _invalid(text)
    attributes = pool.get("Schema") or []
    names = [attribute.get("Name") for attribute in attributes]
    if len(set(names)) < len(names):
        return _invalid("The schema has an attribute more than once.")
    for attribute in attributes:
        limits = attribute.get("StringAttributeConstraints") or {}
        if any(not str(value).isdecimal() or int(value) > _LONGEST for value in limits.values()):
            return _invalid(f"Length of the attribute {attribute.get('Name')} must be from 0 to {_LONGEST}.")
    return None


@refuses("cognito-idp", "CreateUserPoolDomain")
def _domain(request: Parameters) -> Refusal | None:
    domain = str(request.get("Domain"))
    if "." in domain or not (found := next((word for word in _RESERVED_WORDS if word in domain), None)):
        return None
    return _invalid(f"Domain cannot contain reserved word: {found}")


# --- Clients


@refuses("cognito-idp", "CreateUserPoolClient", "UpdateUserPoolClient")
def _client(client: Parameters) -> Refusal | None:
    return _of_tokens(client) or _of_oauth(client) or _of_providers(client)


def _of_tokens(client: Parameters) -> Refusal | None:
    units = client.get("TokenValidityUnits") or {}
    for token, (unit, least, most) in _TOKENS.items():
        value = client.get(f"{token}Validity")
        if not value:  # 0 is the default
            continue
        minutes = int(value) * _MINUTES[str(units.get(token) or unit)]
        if not least <= minutes <= most:
            return _invalid("Invalid range for token validity.")
    return None


def _of_oauth(client: Parameters) -> Refusal | None:
    flows = client.get("AllowedOAuthFlows") or []
    if "client_credentials" in flows and len(flows) > 1:
        text = "client_credentials flow can not be selected along with code flow or implicit flow."
        return Refusal("InvalidOAuthFlowException", text)
    for url in [*(client.get("CallbackURLs") or []), *(client.get("LogoutURLs") or [])]:
        parts = urlsplit(str(url))
        if "#" in str(url):
            return _invalid(f"{url} must not include a fragment.")
        if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            return _invalid(f"{url} cannot use the HTTP protocol; HTTP is allowed for localhost only.")
    explicit = client.get("ExplicitAuthFlows") or []
    if len({flow.startswith("ALLOW_") for flow in explicit}) > 1:
        return _invalid("Flows that begin with ALLOW_ cannot be combined with the older ones.")
    return None


@refuses("cognito-idp", "CreateUserPoolClient")
def _secret(client: Parameters) -> Refusal | None:
    flows = client.get("AllowedOAuthFlows") or []
    if "client_credentials" not in flows or str(client.get("GenerateSecret")).lower() == "true":
        return None
    text = "client_credentials flow can not be selected if client does not have a client secret."
    return Refusal("InvalidOAuthFlowException", text)


def _of_providers(client: Parameters) -> Refusal | None:
    pool_id = str(client.get("UserPoolId"))
    pool = cognito._get_pool_unscoped(pool_id)
    if pool is None:
        return None
    for provider in client.get("SupportedIdentityProviders") or []:
        if provider != "COGNITO" and provider not in (pool.get("_identity_providers") or {}):
            return _invalid(f"The provider {provider} does not exist for User Pool {pool_id}.")
    scopes = {
        f"{server}/{scope['ScopeName']}"
        for server, record in (pool.get("_resource_servers") or {}).items()
        for scope in record.get("Scopes") or []
    }
    for wanted in client.get("AllowedOAuthScopes") or []:
        if wanted not in _SCOPES and wanted not in scopes:
            return Refusal("ScopeDoesNotExistException", f"Invalid scope requested: {wanted}")
    return None


# --- Users


@around(cognito, "_password_policy_errors")
def _password_policy_errors(stock: Callable[..., list[str]], *args: Any, **kwargs: Any) -> list[str]:
    """The first that Cognito finds, in its words; the others are said when that is mended."""
    found = stock(*args, **kwargs)[:1]
    return ["Password not long enough" if "length greater" in text else text for text in found]


@refuses("cognito-idp", "SignUp")
def _sign_up(request: Parameters) -> Refusal | None:
    _pool_id, pool, app = cognito._find_pool_by_client_id(request.get("ClientId"))
    only = ((pool or {}).get("AdminCreateUserConfig") or {}).get("AllowAdminCreateUserOnly")
    if str(only).lower() == "true":
        return Refusal("NotAuthorizedException", "SignUp is not permitted for this user pool")
    return _of_attributes(pool, request) or _not_writable(app, _names(request))


@refuses("cognito-idp", "UpdateUserAttributes", "DeleteUserAttributes")
def _by_user(request: Parameters) -> Refusal | None:
    if cognito._access_token_error(request) is not None:
        return None  # the emulator's own error
    claims = cognito._token_claims(str(request.get("AccessToken"))) or {}
    _pool_id, pool, app = cognito._find_pool_by_client_id(claims.get("client_id"))
    unknown = _of_attributes(pool, request)
    return unknown or _immutable(pool, _names(request)) or _not_writable(app, _names(request))


@refuses("cognito-idp", "AdminUpdateUserAttributes", "AdminDeleteUserAttributes")
def _by_administrator(request: Parameters) -> Refusal | None:
    pool = cognito._get_pool_unscoped(str(request.get("UserPoolId")))
    return _of_attributes(pool, request) or _immutable(pool, _names(request))


@refuses("cognito-idp", "AdminCreateUser")
def _new_user(request: Parameters) -> Refusal | None:
    unknown = _of_attributes(cognito._get_pool_unscoped(str(request.get("UserPoolId"))), request)
    return unknown or (_not_updated("sub") if "sub" in _names(request) else None)


def _names(request: Parameters) -> list[str]:
    """The attributes that a request writes or deletes."""
    written = [str(attribute.get("Name")) for attribute in request.get("UserAttributes") or []]
    return written + [str(name) for name in request.get("UserAttributeNames") or []]


def _not_writable(app: Any, names: list[str]) -> Refusal | None:
    """Without a list of its own, a client may write what is not `_NOT_FOR_USERS`."""
    allowed = (app or {}).get("WriteAttributes")
    if any(name in _NOT_FOR_USERS or (allowed and name not in allowed) for name in names):
        return Refusal("NotAuthorizedException", "A client attempted to write unauthorized attribute")
    return None


def _immutable(pool: Any, names: list[str]) -> Refusal | None:
    listed = cognito._ensure_schema_attributes(pool)["SchemaAttributes"] if pool else []
    fixed = {found["Name"] for found in listed if str(found.get("Mutable", True)).lower() == "false"}
    return next((_not_updated(name) for name in names if name in fixed), None)


def _not_updated(name: str) -> Refusal:
    return _invalid(f"user.{name}: Attribute cannot be updated.\n")


def _of_attributes(pool: Any, request: Parameters) -> Refusal | None:
    if pool is None:
        return None
    known = {attribute["Name"] for attribute in cognito._ensure_schema_attributes(pool)["SchemaAttributes"]}
    known |= {"identities"}
    given = [*(request.get("UserAttributes") or [])]
    given += [{"Name": name} for name in request.get("UserAttributeNames") or []]
    for attribute in given:
        name, value = str(attribute.get("Name")), str(attribute.get("Value") or "")
        if name not in known:
            text = f"{name}: Attribute does not exist in the schema.\n"
            return _invalid(f"Attributes did not conform to the schema: {text}")
        if name == "phone_number" and value and not _PHONE.fullmatch(value):
            return _invalid("Invalid phone number format.")
    return None
