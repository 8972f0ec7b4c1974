"""HTTP APIs verify the tokens of a user pool of the account."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from ministack.services import apigateway, cognito

from helpers.http import Endpoint, HttpResponse
from helpers.lambda_functions import Functions
from localaws.services.apigateway import jwt_authorizers
from localaws.services.cognito import token_claims

pytestmark = pytest.mark.local

USER, PASSWORD = "ann", "Passw0rd!x"
SHOW = """
import json
import time
def handler(event, context):
    shown = {**event["requestContext"]["authorizer"], "user": event["headers"].get("x-user")}
    return {"statusCode": 200, "body": json.dumps(shown)}
"""


@dataclass(frozen=True)
class Api:
    """An API with an authorizer for one client of a pool, and the tokens of two clients."""

    endpoint: Endpoint
    pool: str
    client: str
    tokens: dict[str, str]
    other_client: dict[str, str]
    other_pool: dict[str, str]

    def get(self, token: str, path: str = "/me") -> HttpResponse:
        """A request with the token."""
        return self.endpoint.request("GET", path, headers=[("Authorization", f"Bearer {token}")])


def user_pool(functions: Functions) -> str:
    """A pool with one user."""
    cognito = functions.aws.client("cognito-idp")
    pool: str = cognito.create_user_pool(PoolName="users")["UserPool"]["Id"]
    cognito.admin_create_user(UserPoolId=pool, Username=USER)
    cognito.admin_set_user_password(UserPoolId=pool, Username=USER, Password=PASSWORD, Permanent=True)
    return pool


def client_of(functions: Functions, pool: str) -> tuple[str, dict[str, str]]:
    """A client of the pool, and the tokens that it gets."""
    cognito = functions.aws.client("cognito-idp")
    client = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="web", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    return client, signed_in(functions, client)


def signed_in(functions: Functions, client: str) -> dict[str, str]:
    """The tokens for a client."""
    tokens: dict[str, str] = functions.aws.client("cognito-idp").initiate_auth(
        ClientId=client,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": USER, "PASSWORD": PASSWORD},
    )["AuthenticationResult"]
    return tokens


@pytest.fixture(scope="module")
def api(local_aws: Any) -> Api:
    functions = Functions(local_aws)
    pool, other = user_pool(functions), user_pool(functions)
    client, tokens = client_of(functions, pool)
    gateway = local_aws.client("apigatewayv2")
    made = gateway.create_api(Name=f"api-{uuid.uuid4().hex[:8]}", ProtocolType="HTTP")["ApiId"]
    function = functions.make(SHOW)
    local_aws.client("lambda").add_permission(
        FunctionName=function,
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    integration = gateway.create_integration(
        ApiId=made,
        IntegrationType="AWS_PROXY",
        IntegrationUri=functions.arn("lambda", f"function:{function}"),
        PayloadFormatVersion="2.0",
    )["IntegrationId"]
    authorizer = gateway.create_authorizer(
        ApiId=made,
        Name="users",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={
            "Issuer": f"https://cognito-idp.{local_aws.region}.amazonaws.com/{pool}",
            "Audience": [client],
        },
    )["AuthorizerId"]
    for key, scopes in {"GET /me": [], "GET /scoped": ["aws.cognito.signin.user.admin"]}.items():
        gateway.create_route(
            ApiId=made,
            RouteKey=key,
            AuthorizationType="JWT",
            AuthorizerId=authorizer,
            AuthorizationScopes=scopes,
            Target=f"integrations/{integration}",
        )
    gateway.create_stage(ApiId=made, StageName="$default", AutoDeploy=True)
    address = local_aws.address_of_api(made)
    endpoint = Endpoint.of(address, address.host)
    return Api(endpoint, pool, client, tokens, client_of(functions, pool)[1], client_of(functions, other)[1])


def changed(token: str, **claims: object) -> str:
    """The token with other claims and the old signature."""
    header, body, signature = token.split(".")
    padded = body + "=" * (-len(body) % 4)
    found = json.loads(base64.urlsafe_b64decode(padded)) | claims
    return f"{header}.{base64.urlsafe_b64encode(json.dumps(found).encode()).decode().rstrip('=')}.{signature}"


PARTS = (b"[1]", b"null", b"{", b"", b"\xff", b"[" * 2000 + b"]" * 2000, b"9" * 5000, b'{"kid":[],"iss":[]}')


def malformed(token: str, place: int, part: bytes) -> str:
    """The token with something else in place of its header or its claims."""
    parts = token.split(".")
    parts[place] = base64.urlsafe_b64encode(part).decode().rstrip("=")
    return ".".join(parts)


def unsigned(token: str) -> str:
    """The token with the algorithm `none`."""
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}."


@pytest.mark.parametrize("kind", ["AccessToken", "IdToken"])
def test_the_function_gets_the_claims_of_a_valid_token(api: Api, kind: str) -> None:
    response = api.get(api.tokens[kind])
    assert response.status == 200
    claims = response.json()["jwt"]["claims"]
    assert claims["token_use"] == kind.removesuffix("Token").lower()
    assert int(claims["exp"]) > time.time()


@pytest.mark.parametrize("kind", ["AccessToken", "IdToken"])
def test_tokens_of_others_and_forged_tokens_are_refused(api: Api, kind: str) -> None:
    token = api.tokens[kind]
    last = token[-20]
    forged = {
        "signature": token[:-20] + ("A" if last != "A" else "B") + token[-19:],
        "claims": changed(token, sub="another user"),
        "longer": changed(token, exp=int(time.time()) + 10**6),
        "unsigned": unsigned(token),
        "other client": api.other_client[kind],
        "other pool": api.other_pool[kind],
        "text": "hello",
        **{f"header {part[:9]!r}": malformed(token, 0, part) for part in PARTS},
        **{f"claims {part[:9]!r}": malformed(token, 1, part) for part in PARTS},
        "no base64": "é.%%.=",
    }
    answers = {name: api.get(each) for name, each in forged.items()}
    assert {name: response.status for name, response in answers.items()} == dict.fromkeys(forged, 401)
    assert {response.body for response in answers.values()} == {b'{"message":"Unauthorized"}'}
    assert api.endpoint.request("GET", "/me").status == 401


def test_an_expired_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: a token lasts at least five minutes, which a test does not wait for."""
    pool = json.loads(cognito._create_user_pool({"PoolName": "users"})[2])["UserPool"]["Id"]
    issuer = f"https://cognito-idp.us-east-1.amazonaws.com/{pool}"
    authorizer: dict[str, Any] = {"jwtConfiguration": {"issuer": issuer, "audience": ["web"]}}
    authorizer |= {"identitySource": ["$request.header.Authorization"]}

    async def keys(_url: str) -> Any:
        return json.loads(cognito.well_known_jwks(pool)[2])

    monkeypatch.setattr(apigateway, "_resolve_jwks_url", keys)
    monkeypatch.setattr(apigateway, "_fetch_jwks", keys)

    def subject(seconds: int) -> Any:
        monkeypatch.setattr(cognito, "_token_validity", lambda *_args: seconds)
        headers = {"authorization": f"Bearer {cognito._fake_token('ann', pool, 'web')}"}
        return asyncio.run(jwt_authorizers.verify({}, authorizer, headers, {}))[0]["sub"]

    assert subject(60) == "ann"
    with pytest.raises(jwt_authorizers.DeniedError, match="the token has expired"):
        subject(-60)


def test_an_integration_maps_claims(api: Api, functions: Functions) -> None:
    gateway, api_id = functions.aws.client("apigatewayv2"), api.endpoint.name.partition(".")[0]
    integration = gateway.get_integrations(ApiId=api_id)["Items"][0]["IntegrationId"]
    for name in ("claims", "jwt.claims"):
        mapping = {"append:header.x-user": f"$context.authorizer.{name}.username"}
        gateway.update_integration(ApiId=api_id, IntegrationId=integration, RequestParameters=mapping)
        assert api.get(api.tokens["AccessToken"]).json()["user"] == USER


def test_a_scope_is_required_where_the_route_asks_for_one(api: Api) -> None:
    assert api.get(api.tokens["AccessToken"], "/scoped").status == 200
    refused = api.get(api.tokens["IdToken"], "/scoped")  # an ID token has no scope
    assert (refused.status, refused.body) == (403, b'{"message":"Forbidden"}')


def test_a_rest_api_verifies_them_too(api: Api, functions: Functions) -> None:
    aws, gateway = functions.aws, functions.aws.client("apigateway")
    made = gateway.create_rest_api(name="api")["id"]
    authorizer = gateway.create_authorizer(
        restApiId=made,
        name="users",
        type="COGNITO_USER_POOLS",
        providerARNs=[functions.arn("cognito-idp", f"userpool/{api.pool}")],
        identitySource="method.request.header.Authorization",
    )["id"]
    root = gateway.get_resources(restApiId=made)["items"][0]["id"]
    of: Any = {"restApiId": made, "resourceId": root, "httpMethod": "GET"}
    gateway.put_method(**of, authorizationType="COGNITO_USER_POOLS", authorizerId=authorizer)
    gateway.put_integration(**of, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'})
    gateway.put_method_response(**of, statusCode="200")
    gateway.put_integration_response(**of, statusCode="200")
    gateway.create_deployment(restApiId=made, stageName="live")
    address = aws.address_of_api(made)
    endpoint = Endpoint.of(address, address.host)

    def status(token: str) -> int:
        return endpoint.request("GET", "/live/", headers=[("Authorization", f"Bearer {token}")]).status

    assert status(api.tokens["IdToken"]) == 200
    assert status(changed(api.tokens["IdToken"], sub="another user")) == 401
    assert status(api.other_pool["IdToken"]) == 401
    assert status(api.tokens["AccessToken"]) == 401  # the method has no scopes
    for part, place in itertools.product(PARTS, (0, 1)):
        assert status(malformed(api.tokens["IdToken"], place, part)) == 401


def test_the_discovery_document_names_addresses_of_this_server(api: Api, functions: Functions) -> None:
    server = urlsplit(functions.aws.endpoint_url)
    endpoint = Endpoint(api.endpoint.host, api.endpoint.port, server.netloc, api.endpoint.ca_file)
    found = endpoint.request("GET", f"/{api.pool}/.well-known/openid-configuration").json()
    assert found["jwks_uri"] == f"{functions.aws.endpoint_url}/{api.pool}/.well-known/jwks.json"
    keys = endpoint.request("GET", urlsplit(found["jwks_uri"]).path).json()["keys"]
    assert {key["alg"] for key in keys} == {"RS256"}


@pytest.mark.parametrize(("documented", "here"), [(300, 10), (301, 301), (86_400, 86_400)])
def test_only_the_shortest_validity_is_shortened(documented: int, here: int) -> None:
    assert token_claims._token_validity(lambda *_args: documented, "pool", "client", "id") == here
