"""When user pools invoke their triggers, and with which events.

The emulator fires no post confirmation, pre authentication and post authentication triggers, and the pre
sign-up trigger only for SignUp and external providers.

Faithful to:
- PreSignUp before AdminCreateUser too. `validationData` and `clientMetadata` of the request.
- PostConfirmation after ConfirmSignUp, AdminConfirmSignUp, ConfirmForgotPassword and a sign-up that the pre
  sign-up trigger confirmed. If it fails, the request fails and the user stays confirmed.
- PreAuthentication before the password is checked, with the request's ClientMetadata as `validationData`, and
  for unknown users only if the app client hides which users exist.
- PostAuthentication before the tokens of a sign-in, and not for refreshed tokens.
- ConfirmSignUp verifies the address that the code was sent to. AdminConfirmSignUp verifies none, and refuses
  a user who is confirmed.
Not to: user migration, custom messages other than invitations, and custom senders, which are not fired; the
pages of managed login, which fire no confirmation and authentication triggers. Whether an invalid request
fires a trigger before it is refused, which AWS does not document.

https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_ConfirmSignUp.html
https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-sign-up.html
https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-post-confirmation.html
https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-authentication.html
https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-post-authentication.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import cognito

from localaws.patching import Properties, around
from localaws.services.cognito import triggers

Answer = tuple[int, dict[str, str], bytes]
Act = Callable[[Properties], Answer]

# The client of events that no app client caused.
_NO_CLIENT = "CLIENT_ID_NOT_APPLICABLE"
_FLOWS = (
    "USER_PASSWORD_AUTH",
    "ADMIN_USER_PASSWORD_AUTH",
    "ADMIN_NO_SRP_AUTH",
    "USER_SRP_AUTH",
    "CUSTOM_AUTH",
)
_NO_SIGN_IN = ("TokenGeneration_RefreshTokens", "TokenGeneration_HostedAuth")


def _fire(pool: Properties, source: str, client: str | None, user: Properties, **fields: Any) -> None:
    """Invoke a trigger of a pool, if it has that one.

    Args:
        pool: The pool.
        source: The triggerSource.
        client: The app client, if there is one.
        user: The user, as the emulator stores it.
        **fields: Fields of the event's request; those that are `None` are left out.
    """
    function = triggers.function_of(pool, source.partition("_")[0])
    if function is None:
        return
    attributes = cognito._attr_list_to_dict(user.get("Attributes", []))
    if status := user.get("UserStatus"):
        attributes["cognito:user_status"] = status
    event = {
        "version": "1",
        "triggerSource": source,
        "region": cognito._pool_region(pool["Id"]),
        "userPoolId": pool["Id"],
        "userName": user["Username"],
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": client or _NO_CLIENT},
        "request": {
            "userAttributes": attributes,
            **{name: value for name, value in fields.items() if value is not None},
        },
        "response": {},
    }
    triggers.invoke(function, event)


def _pool_of(data: Properties) -> Properties | None:
    if "UserPoolId" in data:
        found: Properties | None = cognito._user_pools.get(data["UserPoolId"])
    else:
        found = cognito._pool_for_client(data.get("ClientId"))[0]
    return found


def _user_of(pool: Properties | None, name: str | None) -> Properties | None:
    found: Properties | None = cognito._resolve_user(pool, name)[0] if pool and name else None
    return found


# --- Sign-up


@around(cognito, "_build_presignup_event")
def _build_presignup_event(
    stock: Callable[..., Properties],
    pool_id: str,
    client_id: str,
    username: str,
    user_attrs: Properties,
    trigger_source: str,
) -> Properties:
    event = stock(pool_id, client_id, username, user_attrs, trigger_source)
    data, request = triggers.request.get() or {}, event["request"]
    request["userAttributes"].pop("sub", None)  # the user does not exist yet
    request["validationData"] = {one["Name"]: one.get("Value") for one in data.get("ValidationData") or []}
    if metadata := data.get("ClientMetadata"):
        request["clientMetadata"] = metadata
    return event


@around(cognito, "_admin_create_user")
def _admin_create_user(stock: Act, data: Properties) -> Answer:
    pool, name = _pool_of(data), data.get("Username")
    attributes = cognito._attr_list_to_dict(data.get("UserAttributes", []))
    if pool and name and not _user_of(pool, name) and not cognito._new_user_error(pool, name, attributes):
        cognito._apply_presignup_trigger(
            pool["Id"], _NO_CLIENT, name, attributes, trigger_source="PreSignUp_AdminCreateUser"
        )
    return stock(data)


@around(cognito, "_sign_up")
def _sign_up(stock: Act, data: Properties) -> Answer:
    answer = stock(data)
    if answer[0] == 200 and json.loads(answer[2])["UserConfirmed"]:
        _confirmed(data, "PostConfirmation_ConfirmSignUp")
    return answer


@around(cognito, "_confirm_sign_up")
def _confirm_sign_up(stock: Act, data: Properties) -> Answer:
    answer = stock(data)
    if answer[0] == 200:
        _verify(data)
        _confirmed(data, "PostConfirmation_ConfirmSignUp")
    return answer


def _verify(data: Properties) -> None:
    """Mark the address as verified that the code was sent to: the phone number, if the pool verifies both."""
    pool = _pool_of(data)
    user = _user_of(pool, data.get("Username"))
    attributes = cognito._attr_list_to_dict(user["Attributes"]) if user else {}
    sent_to = (
        {"phone_number", "email"} & attributes.keys() & set((pool or {}).get("AutoVerifiedAttributes", []))
    )
    if user and sent_to:
        attributes[f"{max(sent_to)}_verified"] = "true"
        user["Attributes"] = cognito._dict_to_attr_list(attributes)


@around(cognito, "_admin_confirm_sign_up")
def _admin_confirm_sign_up(stock: Act, data: Properties) -> Answer:
    user = _user_of(_pool_of(data), data.get("Username"))
    if user and user.get("UserStatus") != "UNCONFIRMED":
        message = f"User cannot be confirmed. Current status is {user.get('UserStatus')}"
        refused: Answer = error_response_json("NotAuthorizedException", message, 400)
        return refused
    answer = stock(data)
    if answer[0] == 200:
        _confirmed(data, "PostConfirmation_ConfirmSignUp")
    return answer


@around(cognito, "_confirm_forgot_password")
def _confirm_forgot_password(stock: Act, data: Properties) -> Answer:
    answer = stock(data)
    if answer[0] == 200:
        _confirmed(data, "PostConfirmation_ConfirmForgotPassword")
    return answer


def _confirmed(data: Properties, source: str) -> None:
    pool = _pool_of(data)
    user = _user_of(pool, data.get("Username"))
    if pool and user:
        _fire(pool, source, data.get("ClientId"), user, clientMetadata=data.get("ClientMetadata"))


# --- Sign-in


@around(cognito, "_admin_initiate_auth")
@around(cognito, "_initiate_auth")
def _initiate_auth(stock: Act, data: Properties) -> Answer:
    pool, client = _pool_of(data), data.get("ClientId")
    name = (data.get("AuthParameters") or {}).get("USERNAME")
    if pool and name and client in pool["_clients"] and data.get("AuthFlow") in _FLOWS:
        user, hides = _user_of(pool, name), cognito._hides_user_existence(pool, client)
        if hides if user is None else user.get("Enabled", True):
            _fire(
                pool,
                "PreAuthentication_Authentication",
                client,
                user or {"Username": name},
                validationData=data.get("ClientMetadata"),
                userNotFound=user is None if hides else None,
            )
    return stock(data)


@around(cognito, "_build_auth_result")
def _build_auth_result(
    stock: Callable[..., Properties],
    pool_id: str,
    client_id: str,
    user: Properties,
    nonce: str = "",
    trigger_source: str = "TokenGeneration_Authentication",
    client_metadata: Properties | None = None,
    origin_jti: str = "",
    scope: str | None = None,
) -> Properties:
    if trigger_source not in _NO_SIGN_IN:
        _fire(
            cognito._user_pools[pool_id],
            "PostAuthentication_Authentication",
            client_id,
            user,
            newDeviceUsed=False,
            clientMetadata=client_metadata or None,
        )
    return stock(pool_id, client_id, user, nonce, trigger_source, client_metadata, origin_jti, scope)
