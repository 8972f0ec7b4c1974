"""Identity pools give credentials only for tokens that prove who signed in, and to guests that they allow."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.services import cognito as emulator

from helpers.lambda_functions import Functions
from localaws import LocalAws
from localaws.services.cognito import identities

CALLS = ("get_id", "get_credentials_for_identity", "get_open_id_token")


@dataclass(frozen=True)
class Pools:
    """A user pool and an identity pool with its roles."""

    aws: LocalAws
    provider: str
    pool: str
    tokens: dict[str, str]
    role: str

    def call(self, name: str, token: str) -> dict[str, Any]:
        client, logins = self.aws.client("cognito-identity"), {self.provider: token}
        own = client.get_id(IdentityPoolId=self.pool, Logins={self.provider: self.tokens["IdToken"]})
        of = {"IdentityPoolId": self.pool} if name == "get_id" else {"IdentityId": own["IdentityId"]}
        answer: dict[str, Any] = getattr(client, name)(**of, Logins=logins)
        return answer


def sign_in(aws: LocalAws, name: str) -> tuple[str, str, dict[str, str]]:
    """The provider, the client and the tokens of a new user of a new pool."""
    cognito = aws.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName=name)["UserPool"]["Id"]
    flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    client = cognito.create_user_pool_client(UserPoolId=pool, ClientName=name, ExplicitAuthFlows=flows)
    client_id = client["UserPoolClient"]["ClientId"]
    login = {"USERNAME": "ann", "PASSWORD": "Passw0rd!"}
    cognito.admin_create_user(UserPoolId=pool, Username="ann")
    cognito.admin_set_user_password(UserPoolId=pool, Username="ann", Password="Passw0rd!", Permanent=True)
    answer = cognito.initiate_auth(ClientId=client_id, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=login)
    return f"cognito-idp.{aws.region}.amazonaws.com/{pool}", client_id, answer["AuthenticationResult"]


@pytest.fixture(scope="module")
def pools(local_aws: LocalAws) -> Pools:
    provider, client, tokens = sign_in(local_aws, "users")
    identity, role = local_aws.client("cognito-identity"), Functions(local_aws).role()
    pool = identity.create_identity_pool(
        IdentityPoolName="web",
        AllowUnauthenticatedIdentities=False,
        CognitoIdentityProviders=[{"ProviderName": provider, "ClientId": client}],
    )["IdentityPoolId"]
    identity.set_identity_pool_roles(IdentityPoolId=pool, Roles={"authenticated": role})
    return Pools(local_aws, provider, pool, tokens, role)


def changed(token: str, part: int, **claims: Any) -> str:
    """The token with other claims or headers, and its old signature."""
    parts = token.split(".")
    read = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    parts[part] = base64.urlsafe_b64encode(json.dumps(read | claims).encode()).decode().rstrip("=")
    return ".".join(parts)


@pytest.mark.local
@pytest.mark.parametrize("call", CALLS)
def test_the_token_of_a_user_is_accepted(pools: Pools, call: str) -> None:
    assert pools.call(call, pools.tokens["IdToken"])["IdentityId"]


@pytest.mark.local
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["subject", "unsigned", "later", "other pool", "access token", "no token"])
def test_a_token_that_proves_nothing_is_refused(pools: Pools, call: str, kind: str) -> None:
    token = pools.tokens["IdToken"]
    kinds: dict[str, Callable[[], str]] = {
        "subject": lambda: changed(token, 1, sub="another user"),
        "unsigned": lambda: changed(token, 0, alg="none").rpartition(".")[0] + ".",
        "later": lambda: changed(token, 1, exp=int(time.time()) + 10**6),
        "other pool": lambda: sign_in(pools.aws, "others")[2]["IdToken"],
        "access token": lambda: pools.tokens["AccessToken"],
        "no token": lambda: "x",
    }
    with pytest.raises(ClientError, match=r"NotAuthorizedException.*Invalid login token"):
        pools.call(call, kinds[kind]())


def test_an_expired_token_is_refused() -> None:
    made = json.loads(emulator._create_user_pool({"PoolName": "users"})[2])["UserPool"]["Id"]
    provider = f"cognito-idp.us-east-1.amazonaws.com/{made}"
    pool = {
        "_identities": {},
        "CognitoIdentityProviders": [{"ProviderName": provider, "ClientId": "web"}],
        "AllowUnauthenticatedIdentities": False,
    }
    claims = {"iss": f"https://{provider}", "aud": "web", "sub": "ann", "token_use": "id"}
    for exp, refused in ((time.time() + 60, False), (time.time() - 400, True)):
        token = emulator._signed_jwt(claims | {"exp": int(exp)}, made, "id")
        answer = identities._refusal(pool, None, {provider: token})
        assert bool(answer) is refused
    assert b"NotAuthorizedException" in answer[2]
    assert b"Invalid login token. Token expired" in answer[2]


@pytest.mark.local
def test_a_pool_without_guests_refuses_them(pools: Pools) -> None:
    client = pools.aws.client("cognito-identity")
    with pytest.raises(ClientError, match=r"NotAuthorizedException.*Unauthenticated access is not supported"):
        client.get_id(IdentityPoolId=pools.pool)
    known = pools.call("get_id", pools.tokens["IdToken"])["IdentityId"]
    for call in CALLS[1:]:
        with pytest.raises(ClientError, match=r"NotAuthorizedException.*forbidden"):
            getattr(client, call)(IdentityId=known)
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            getattr(client, call)(IdentityId=f"us-east-1:{'0' * 8}-0000-0000-0000-{'0' * 12}")


@pytest.mark.local
def test_a_pool_without_a_role_gives_no_credentials(pools: Pools) -> None:
    client = pools.aws.client("cognito-identity")
    pool = client.create_identity_pool(IdentityPoolName="open", AllowUnauthenticatedIdentities=True)
    guest = client.get_id(IdentityPoolId=pool["IdentityPoolId"])["IdentityId"]
    with pytest.raises(ClientError, match="InvalidIdentityPoolConfigurationException"):
        client.get_credentials_for_identity(IdentityId=guest)


@pytest.mark.local
def test_the_credentials_are_those_of_the_role(pools: Pools) -> None:
    given = pools.call("get_credentials_for_identity", pools.tokens["IdToken"])["Credentials"]
    caller = pools.aws.session.client(
        "sts",
        endpoint_url=pools.aws.endpoint_url,
        verify=str(pools.aws.ca_file),
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretKey"],
        aws_session_token=given["SessionToken"],
    ).get_caller_identity()
    assert caller["Arn"].endswith(f":assumed-role/{pools.role.rpartition('/')[2]}/CognitoIdentityCredentials")


@pytest.mark.local
def test_still_needed_the_emulator_gives_credentials_to_unknown_identities(stock_aws: LocalAws) -> None:
    unknown = f"us-east-1:{'0' * 8}-0000-0000-0000-{'0' * 12}"
    stock_aws.client("cognito-identity").get_credentials_for_identity(IdentityId=unknown)
