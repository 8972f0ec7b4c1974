"""User pools, app clients and attributes of users that Cognito refuses."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from helpers.refusals import Row, check, client, ids
from localaws import LocalAws

pytestmark = pytest.mark.local

INVALID, OAUTH = "InvalidParameterException", "InvalidOAuthFlowException"
VALIDITY = "Invalid range for token validity."


def pool(**changes: Any) -> dict[str, Any]:
    return {"PoolName": "new", **changes}


def schema(*names: str, **constraints: str) -> dict[str, Any]:
    kind = {"AttributeDataType": "String", "StringAttributeConstraints": constraints}
    return pool(Schema=[{"Name": name, **kind} for name in names])


def lasting(value: int, token: str, unit: str) -> dict[str, Any]:
    return {f"{token}Validity": value, "TokenValidityUnits": {token: unit}}


def user(**attributes: str) -> dict[str, Any]:
    listed = [{"Name": name, "Value": value} for name, value in attributes.items()]
    return {"Username": "ann@example.com", "Password": "Passw0rd!", "UserAttributes": listed}


REFUSED: list[Row] = [
    ("create_user_pool", pool(PoolName="a/b"), INVALID, "Value 'a/b' at 'poolName' failed"),
    ("create_user_pool", pool(PoolName="x" * 129), INVALID, "less than or equal to 128"),
    ("create_user_pool", pool(Policies={"PasswordPolicy": {"MinimumLength": 5}}), INVALID, "equal to 6"),
    ("create_user_pool", pool(Policies={"PasswordPolicy": {"MinimumLength": 100}}), INVALID, "equal to 99"),
    (
        "create_user_pool",
        pool(AutoVerifiedAttributes=["name"]),
        INVALID,
        "enum value set: [phone_number, email]",
    ),
    ("create_user_pool", pool(EmailVerificationMessage="Hello world"), INVALID, "'emailVerificationMessage'"),
    ("create_user_pool", pool(LambdaConfig={"PreSignUp": "function"}), INVALID, "'lambdaConfig.preSignUp'"),
    (
        "create_user_pool",
        pool(AliasAttributes=["email"], UsernameAttributes=["email"]),
        INVALID,
        "Only one of",
    ),
    ("create_user_pool", schema("x" * 21), INVALID, "less than or equal to 20"),
    ("create_user_pool", schema("a", "a"), INVALID, "more than once"),
    ("create_user_pool", schema("a", MaxLength="2049"), INVALID, "2048"),
    ("create_user_pool_client", lasting(4, "AccessToken", "minutes"), INVALID, VALIDITY),
    ("create_user_pool_client", lasting(25, "IdToken", "hours"), INVALID, VALIDITY),
    ("create_user_pool_client", lasting(59, "RefreshToken", "minutes"), INVALID, VALIDITY),
    ("create_user_pool_client", {"RefreshTokenValidity": 3651}, INVALID, ""),
    ("create_user_pool_client", {"ClientName": "a/b"}, INVALID, "Value 'a/b' at 'clientName' failed"),
    ("create_user_pool_client", {"ExplicitAuthFlows": ["ALL"]}, INVALID, "at 'explicitAuthFlows' failed"),
    (
        "create_user_pool_client",
        {"ExplicitAuthFlows": ["ADMIN_NO_SRP_AUTH", "ALLOW_USER_SRP_AUTH"]},
        INVALID,
        "cannot be combined",
    ),
    (
        "create_user_pool_client",
        {"CallbackURLs": ["http://example.com"]},
        INVALID,
        "cannot use the HTTP protocol",
    ),
    (
        "create_user_pool_client",
        {"CallbackURLs": ["https://example.com/#a"]},
        INVALID,
        "must not include a fragment",
    ),
    (
        "create_user_pool_client",
        {"AllowedOAuthFlows": ["client_credentials"]},
        OAUTH,
        "if client does not have a client secret",
    ),
    (
        "create_user_pool_client",
        {"SupportedIdentityProviders": ["Google"]},
        INVALID,
        "The provider Google does not",
    ),
    (
        "create_user_pool_domain",
        {"Domain": "my-cognito"},
        INVALID,
        "Domain cannot contain reserved word: cognito",
    ),
    (
        "create_user_pool_client",
        {"AllowedOAuthScopes": ["openid", "orders/read"]},
        "ScopeDoesNotExistException",
        "Invalid scope requested: orders/read",
    ),
    ("create_group", {"GroupName": "a b"}, INVALID, "Value 'a b' at 'groupName' failed"),
    ("sign_up", user(nickname="a", foo="b"), INVALID, "foo: Attribute does not exist in the schema."),
    ("sign_up", user(**{"custom:foo": "b"}), INVALID, "custom:foo: Attribute does not exist in the schema."),
    ("sign_up", user(name="x" * 2049), INVALID, "less than or equal to 2048"),
    ("sign_up", user(phone_number="123"), INVALID, "Invalid phone number format."),
    ("sign_up", user(email_verified="true"), "NotAuthorizedException", "unauthorized attribute"),
    ("sign_up", {**user(), "Password": " Passw0rd!"}, INVALID, "Value at 'password' failed"),
    (
        "sign_up",
        {**user(), "Password": "Password!"},
        "InvalidPasswordException",
        "must have numeric characters",
    ),
    ("sign_up", {**user(), "Password": "Pass0!"}, "InvalidPasswordException", "Password not long enough"),
]


@pytest.fixture(scope="module")
def names(local_aws: LocalAws) -> dict[str, str]:
    """A user pool and its client."""
    cognito = local_aws.client("cognito-idp")
    made = cognito.create_user_pool(PoolName="held", UsernameAttributes=["email"])["UserPool"]["Id"]
    flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    app = cognito.create_user_pool_client(UserPoolId=made, ClientName="held", ExplicitAuthFlows=flows)
    return {"UserPoolId": made, "ClientId": app["UserPoolClient"]["ClientId"]}


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_request_is_refused(local_aws: LocalAws, names: dict[str, str], row: Row) -> None:
    operation, parameters, code, text = row
    if operation == "sign_up":
        parameters = {"ClientId": names["ClientId"], **parameters}
    elif operation != "create_user_pool":
        named = {"ClientName": "new"} if operation == "create_user_pool_client" else {}
        parameters = {"UserPoolId": names["UserPoolId"], **named, **parameters}
    check(local_aws, "cognito-idp", (operation, parameters, code, text))


@pytest.mark.parametrize("verified", [True, False])
def test_an_id_token_says_whether_the_address_is_verified(
    local_aws: LocalAws, names: dict[str, str], verified: bool
) -> None:
    cognito, name = client(local_aws, "cognito-idp"), f"{verified}@example.com"
    attributes = [{"Name": "email", "Value": name}]
    attributes += [{"Name": "email_verified", "Value": "true"}] if verified else []
    of_pool = {"UserPoolId": names["UserPoolId"], "Username": name}
    cognito.admin_create_user(**of_pool, UserAttributes=attributes, MessageAction="SUPPRESS")
    cognito.admin_set_user_password(**of_pool, Password="Passw0rd!", Permanent=True)
    answer = cognito.admin_initiate_auth(
        **names,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": name, "PASSWORD": "Passw0rd!"},
    )
    claims = answer["AuthenticationResult"]["IdToken"].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["email_verified"] is verified


NOT_WRITABLE = ("NotAuthorizedException", "A client attempted to write unauthorized attribute")
SUB = (INVALID, "user.sub: Attribute cannot be updated.")


@pytest.mark.parametrize(
    ("attribute", "error"),
    [
        ("sub", SUB),
        ("email_verified", NOT_WRITABLE),
        ("nickname", NOT_WRITABLE),  # not one of those that the client may write
        ("custom:fixed", (INVALID, "user.custom:fixed: Attribute cannot be updated.")),
        ("custom:nope", (INVALID, "custom:nope: Attribute does not exist in the schema.")),
        ("cognito:groups", (INVALID, "cognito:groups: Attribute does not exist in the schema.")),
        ("name", None),
    ],
)
def test_a_user_writes_what_the_client_may_write(
    local_aws: LocalAws, signed_in: dict[str, str], attribute: str, error: tuple[str, str] | None
) -> None:
    token, given = {"AccessToken": signed_in["AccessToken"]}, {"Name": attribute, "Value": "true"}
    if error is None:
        client(local_aws, "cognito-idp").update_user_attributes(**token, UserAttributes=[given])
        return
    check(local_aws, "cognito-idp", ("update_user_attributes", {**token, "UserAttributes": [given]}, *error))
    deletion = {**token, "UserAttributeNames": [attribute]}
    check(local_aws, "cognito-idp", ("delete_user_attributes", deletion, *error))


@pytest.mark.parametrize("operation", ["admin_update_user_attributes", "admin_create_user"])
def test_no_caller_chooses_the_id_of_a_user(
    local_aws: LocalAws, signed_in: dict[str, str], operation: str
) -> None:
    name = "ann" if operation == "admin_update_user_attributes" else "another"
    request = {"UserPoolId": signed_in["UserPoolId"], "Username": name}
    sub = [{"Name": "sub", "Value": "zzz"}]
    check(local_aws, "cognito-idp", (operation, {**request, "UserAttributes": sub}, *SUB))


def test_users_do_not_sign_up_where_an_administrator_creates_them(
    local_aws: LocalAws, signed_in: dict[str, str]
) -> None:
    request = {"ClientId": signed_in["ClientId"], "Username": "eve", "Password": "Passw0rd!"}
    error = ("NotAuthorizedException", "SignUp is not permitted for this user pool")
    check(local_aws, "cognito-idp", ("sign_up", request, *error))


@pytest.fixture(scope="module")
def signed_in(local_aws: LocalAws) -> dict[str, str]:
    """A user of a pool that only administrators add users to, and the user's access token."""
    cognito = local_aws.client("cognito-idp")
    pool_id = cognito.create_user_pool(
        PoolName="closed",
        AdminCreateUserConfig={"AllowAdminCreateUserOnly": True},
        Schema=[{"Name": "fixed", "AttributeDataType": "String", "Mutable": False}],
    )["UserPool"]["Id"]
    client_id = cognito.create_user_pool_client(
        UserPoolId=pool_id,
        ClientName="app",
        ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        WriteAttributes=["name", "custom:fixed"],
    )["UserPoolClient"]["ClientId"]
    of_pool = {"UserPoolId": pool_id, "Username": "ann"}
    cognito.admin_create_user(**of_pool, MessageAction="SUPPRESS")
    cognito.admin_set_user_password(**of_pool, Password="Passw0rd!", Permanent=True)
    answer = cognito.admin_initiate_auth(
        UserPoolId=pool_id,
        ClientId=client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ann", "PASSWORD": "Passw0rd!"},
    )["AuthenticationResult"]
    return {"UserPoolId": pool_id, "ClientId": client_id, "AccessToken": answer["AccessToken"]}
