"""Identity pools give credentials only for tokens that prove who signed in, and to guests that they allow."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.services import cognito as emulator

from helpers.stacks import deploy, ref
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

    def client(self, service: str, token: str) -> Any:
        """A client with the credentials for a token."""
        given = self.call("get_credentials_for_identity", token)["Credentials"]
        return self.aws.session.client(
            service,
            endpoint_url=self.aws.endpoint_url,
            verify=str(self.aws.ca_file),
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretKey"],
            aws_session_token=given["SessionToken"],
        )


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


def trust(audience: str, methods: str, provider: str = "cognito-identity.amazonaws.com") -> str:
    """The trust policy that the CDK writes for a role of an identity pool."""
    condition = {
        "StringEquals": {"cognito-identity.amazonaws.com:aud": audience},
        "ForAnyValue:StringLike": {"cognito-identity.amazonaws.com:amr": methods},
    }
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": condition,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def pools(local_aws: LocalAws) -> Pools:
    provider, client, tokens = sign_in(local_aws, "users")
    identity = local_aws.client("cognito-identity")
    pool = identity.create_identity_pool(
        IdentityPoolName="web",
        AllowUnauthenticatedIdentities=False,
        CognitoIdentityProviders=[{"ProviderName": provider, "ClientId": client}],
    )["IdentityPoolId"]
    role = local_aws.client("iam").create_role(
        RoleName=f"users-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument=trust(pool, "authenticated")
    )["Role"]["Arn"]
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
def test_a_deleted_identity_is_unknown(pools: Pools) -> None:
    client = pools.aws.client("cognito-identity")
    known = pools.call("get_id", pools.tokens["IdToken"])["IdentityId"]
    assert client.delete_identities(IdentityIdsToDelete=[known])["UnprocessedIdentityIds"] == []
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.get_open_id_token(IdentityId=known)
    assert pools.call("get_id", pools.tokens["IdToken"])["IdentityId"] != known


@pytest.mark.local
@pytest.mark.parametrize(
    ("setting", "refused"),
    [({}, False), ({"AllowClassicFlow": True}, False), ({"AllowClassicFlow": False}, True)],
)
@pytest.mark.parametrize("in_stack", [False, True])
def test_a_pool_without_the_classic_flow_gives_no_tokens(
    local_aws: LocalAws, setting: dict[str, bool], refused: bool, in_stack: bool
) -> None:
    client, properties = (
        local_aws.client("cognito-identity"),
        {"AllowUnauthenticatedIdentities": True, **setting},
    )
    if in_stack:
        resources = {"Pool": {"Type": "AWS::Cognito::IdentityPool", "Properties": properties}}
        pool = deploy(local_aws, resources, {"Pool": ref("Pool")}).outputs["Pool"]
    else:
        pool = client.create_identity_pool(IdentityPoolName="guests", **properties)["IdentityPoolId"]
    described = client.describe_identity_pool(IdentityPoolId=pool)
    assert {name: described[name] for name in described if name == "AllowClassicFlow"} == setting
    guest = client.get_id(IdentityPoolId=pool)["IdentityId"]
    try:
        client.get_open_id_token(IdentityId=guest)
    except ClientError as error:
        found = "{Code}: {Message}".format(**error.response["Error"])
    else:
        found = ""
    text = "InvalidParameterException: Basic (classic) flow is not enabled, please use enhanced flow."
    assert found == (text if refused else "")


@pytest.mark.local
def test_a_pool_without_a_role_gives_no_credentials(pools: Pools) -> None:
    client = pools.aws.client("cognito-identity")
    pool = client.create_identity_pool(IdentityPoolName="open", AllowUnauthenticatedIdentities=True)
    guest = client.get_id(IdentityPoolId=pool["IdentityPoolId"])["IdentityId"]
    with pytest.raises(ClientError, match="InvalidIdentityPoolConfigurationException"):
        client.get_credentials_for_identity(IdentityId=guest)


@pytest.mark.local
def test_the_credentials_are_those_of_the_role(pools: Pools) -> None:
    caller = pools.client("sts", pools.tokens["IdToken"]).get_caller_identity()
    assert caller["Arn"].endswith(f":assumed-role/{pools.role.rpartition('/')[2]}/CognitoIdentityCredentials")


@pytest.mark.local
@pytest.mark.parametrize(
    ("audience", "methods", "provider"),
    [
        ("us-east-1:00000000-0000-0000-0000-000000000000", "authenticated", "cognito-identity.amazonaws.com"),
        ("POOL", "unauthenticated", "cognito-identity.amazonaws.com"),
        ("POOL", "authenticated", "graph.facebook.com"),
    ],
)
def test_a_role_that_does_not_trust_the_identity_gives_no_credentials(
    pools: Pools, audience: str, methods: str, provider: str
) -> None:
    iam, name = pools.aws.client("iam"), pools.role.rpartition("/")[2]
    document = trust(audience.replace("POOL", pools.pool), methods, provider)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=document)
    try:
        with pytest.raises(ClientError, match="InvalidIdentityPoolConfigurationException"):
            pools.call("get_credentials_for_identity", pools.tokens["IdToken"])
    finally:
        document = trust(pools.pool, "authenticated")
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=document)
    assert pools.call("get_credentials_for_identity", pools.tokens["IdToken"])["Credentials"]


@pytest.mark.local
def test_policies_of_the_role_see_the_identity(pools: Pools) -> None:
    s3, bucket = pools.aws.client("s3"), f"files-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    own = f"arn:aws:s3:::{bucket}/${{cognito-identity.amazonaws.com:sub}}/*"
    method = {"ForAnyValue:StringEquals": {"cognito-identity.amazonaws.com:amr": pools.provider}}
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": own, "Condition": method}
    pools.aws.client("iam").put_role_policy(
        RoleName=pools.role.rpartition("/")[2],
        PolicyName="own",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    identity = pools.call("get_id", pools.tokens["IdToken"])["IdentityId"]
    client = pools.client("s3", pools.tokens["IdToken"])
    client.put_object(Bucket=bucket, Key=f"{identity}/a", Body=b"")
    for key in ("a", f"{identity[:-1]}/a", f"x/{identity}/a"):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.put_object(Bucket=bucket, Key=key, Body=b"")


@pytest.mark.local
def test_a_user_who_signed_out_or_was_disabled_gets_nothing_if_the_pool_asks(local_aws: LocalAws) -> None:
    provider, client, tokens = sign_in(local_aws, "leaving")
    cognito, identity = local_aws.client("cognito-idp"), local_aws.client("cognito-identity")
    pools = [
        identity.create_identity_pool(
            IdentityPoolName=f"asks-{asks}",
            AllowUnauthenticatedIdentities=False,
            CognitoIdentityProviders=[
                {"ProviderName": provider, "ClientId": client, "ServerSideTokenCheck": asks}
            ],
        )["IdentityPoolId"]
        for asks in (True, False)
    ]
    logins, user = {provider: tokens["IdToken"]}, provider.rpartition("/")[2]
    for pool in pools:
        assert identity.get_id(IdentityPoolId=pool, Logins=logins)["IdentityId"]
    cognito.admin_user_global_sign_out(UserPoolId=user, Username="ann")
    with pytest.raises(ClientError, match="NotAuthorizedException"):
        identity.get_id(IdentityPoolId=pools[0], Logins=logins)
    assert identity.get_id(IdentityPoolId=pools[1], Logins=logins)["IdentityId"]
    again = cognito.initiate_auth(
        ClientId=client,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ann", "PASSWORD": "Passw0rd!"},
    )["AuthenticationResult"]["IdToken"]
    assert identity.get_id(IdentityPoolId=pools[0], Logins={provider: again})["IdentityId"]
    cognito.admin_disable_user(UserPoolId=user, Username="ann")
    with pytest.raises(ClientError, match="NotAuthorizedException"):
        identity.get_id(IdentityPoolId=pools[0], Logins={provider: again})


@pytest.mark.local
def test_still_needed_the_emulator_gives_credentials_to_unknown_identities(stock_aws: LocalAws) -> None:
    unknown = f"us-east-1:{'0' * 8}-0000-0000-0000-{'0' * 12}"
    stock_aws.client("cognito-identity").get_credentials_for_identity(IdentityId=unknown)
