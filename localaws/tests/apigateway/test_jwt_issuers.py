"""HTTP APIs verify the tokens of an issuer that is not Cognito: a small one on this machine."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.util import json_b64encode, urlsafe_b64encode

from helpers.apis import HANDLER, HttpApi
from helpers.http import HttpResponse
from helpers.lambda_functions import Functions, eventually
from localaws import LocalAws
from localaws.server.certificates import make_certificates

pytestmark = pytest.mark.local


class Issuer:
    """Serves a discovery document and its keys, and signs tokens.

    Args:
        folder: For its certificate.
    """

    def __init__(self, folder: Path) -> None:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = issuer.documents.get(self.path)
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Write nothing to the terminal."""

        files = make_certificates(folder, "us-east-1")
        self.authority = files.authority
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}/shop/"
        self.key, self.next_key = self.new_key("first"), self.new_key("second")
        configuration = {"issuer": self.url, "jwks_uri": f"{self.url}keys"}
        self.documents: dict[str, Any] = {"/shop/.well-known/openid-configuration": configuration}
        self.publish(self.key)

    @staticmethod
    def new_key(name: str) -> RSAKey:
        """A key with this id."""
        return RSAKey.generate_key(2048, parameters={"kid": name, "use": "sig"})

    def publish(self, *keys: RSAKey) -> None:
        """Publish these keys only."""
        self.documents["/shop/keys"] = {"keys": [key.as_dict(private=False) for key in keys]}

    def claims(self, **changed: object) -> dict[str, Any]:
        """The claims of a valid token, without those that are None."""
        now = int(time.time())
        known = {"iss": self.url, "sub": "ann", "aud": "notes", "iat": now - 1, "exp": now + 600}
        return {name: value for name, value in {**known, **changed}.items() if value is not None}

    def token(
        self, key: RSAKey | None = None, header: dict[str, Any] | None = None, **changed: object
    ) -> str:
        """A token signed with a key, by default the first."""
        key = key or self.key
        head = {"alg": "RS256", "kid": key.kid, **(header or {})}
        return jwt.encode(head, self.claims(**changed), key, algorithms=["RS256", "RS384", "RS512", "PS256"])

    def unsigned(self, algorithm: str, sign: Callable[[str], bytes]) -> str:
        """A token that claims another algorithm."""
        head = {"alg": algorithm, "kid": self.key.kid}
        text = ".".join(json_b64encode(part).decode() for part in (head, self.claims()))
        return f"{text}.{urlsafe_b64encode(sign(text)).decode()}"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    issuer = Issuer(tmp_path_factory.mktemp("issuer"))
    thread = threading.Thread(target=issuer.server.serve_forever, args=(0.01,))
    thread.start()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def api(issuer: Issuer) -> Iterator[HttpApi]:
    """An API on an embedded AWS that trusts the issuer, and caches its keys for a second instead of hours."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(issuer.authority))
        environment.setenv("LOCALAWS_SECONDS_PER_MINUTE", "0.01")
        with LocalAws() as aws:
            api = HttpApi(Functions(aws))
            integration = api.integrate(Functions(aws).make(HANDLER))
            authorizer = api.client.create_authorizer(
                ApiId=api.id,
                Name="shop",
                AuthorizerType="JWT",
                IdentitySource=["$request.header.Authorization"],
                JwtConfiguration={"Issuer": issuer.url, "Audience": ["notes", "shop"]},
            )["AuthorizerId"]
            for key, scopes in {"GET /any": [], "GET /scoped": ["write", "admin"]}.items():
                more = {"AuthorizationType": "JWT", "AuthorizerId": authorizer, "AuthorizationScopes": scopes}
                api.route(key, integration, **more)
            yield api


def get(api: HttpApi, token: str, path: str = "/any") -> HttpResponse:
    """A request with a token."""
    return api.get(path, headers=[("Authorization", f"Bearer {token}")])


def test_valid_tokens_reach_the_function(api: HttpApi, issuer: Issuer) -> None:
    tokens = {
        "RS256": issuer.token(),
        "RS384": issuer.token(header={"alg": "RS384"}),
        "RS512": issuer.token(header={"alg": "RS512"}),
        "one of two audiences": issuer.token(aud=["other", "shop"]),
        "client_id": issuer.token(aud=None, client_id="notes"),
    }
    answers = {name: get(api, token) for name, token in tokens.items()}
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(tokens, 200)
    said = answers["RS256"].json()["requestContext"]["authorizer"]["jwt"]
    assert (said["claims"]["sub"], said["claims"]["iss"], said["scopes"]) == ("ann", issuer.url, None)


def test_tokens_that_are_not_valid_are_refused_with_the_reason(api: HttpApi, issuer: Issuer) -> None:
    now, public, private = int(time.time()), issuer.key.as_pem(private=False), issuer.key.private_key
    assert private is not None
    signed = issuer.unsigned("none", lambda text: private.sign(text.encode(), PKCS1v15(), SHA256()))
    confused = issuer.unsigned("HS256", lambda text: hmac.digest(public, text.encode(), hashlib.sha256))
    no_key, malformed = "the token is not signed by a key of the issuer", "the token is malformed"
    audience, issuer_, expired, early = (
        "the token does not have a valid audience",
        "the token does not have a valid issuer",
        "the token has expired",
        "the token is not valid yet",
    )
    refused = {
        "no signature": (issuer.unsigned("none", lambda _text: b""), no_key),
        "another algorithm in the header": (signed, no_key),
        "HMAC with the public key": (confused, no_key),
        "PS256": (issuer.token(header={"alg": "PS256"}), no_key),
        "an unknown key": (issuer.token(issuer.next_key), no_key),
        "the id of another key": (issuer.token(issuer.next_key, header={"kid": "first"}), no_key),
        "no text at all": (".", malformed),
        "audience": (issuer.token(aud="other"), audience),
        "client_id with another audience": (issuer.token(aud="other", client_id="notes"), audience),
        "no audience": (issuer.token(aud=None), audience),
        "issuer": (issuer.token(iss=issuer.url.rstrip("/")), issuer_),
        "expired": (issuer.token(exp=now - 1), expired),
        "no end": (issuer.token(exp=None), expired),
        "not before": (issuer.token(nbf=now + 600), early),
        "issued later": (issuer.token(iat=now + 600), early),
        "no issuer": (issuer.token(iss=None), malformed),
    }
    answers = {name: get(api, token) for name, (token, _reason) in refused.items()}
    assert {name: (answer.status, answer.body) for name, answer in answers.items()} == dict.fromkeys(
        refused, (401, b'{"message":"Unauthorized"}')
    )
    assert {name: answer.header("www-authenticate") for name, answer in answers.items()} == {
        name: f'Bearer scope="" error="invalid_token" error_description="{reason}"'
        for name, (_token, reason) in refused.items()
    }
    assert api.get("/any").header("www-authenticate") == "Bearer"


def test_a_valid_token_without_a_scope_of_the_route_is_forbidden(api: HttpApi, issuer: Issuer) -> None:
    for more in ({"scope": "read write"}, {"scp": ["admin"]}, {"scp": "admin"}):
        assert get(api, issuer.token(**more), "/scoped").status == 200, more
    for other in ({}, {"scope": "read"}, {"scope": "writer"}, {"scp": ["read"]}):
        refused = get(api, issuer.token(**other), "/scoped")
        assert (refused.status, refused.body) == (403, b'{"message":"Forbidden"}'), other
        assert 'scope="write admin" error="insufficient_scope"' in refused.header("www-authenticate")
    assert get(api, issuer.token(scope="write", aud="other"), "/scoped").status == 401


def test_a_new_key_is_known_once_the_cached_ones_expire(api: HttpApi, issuer: Issuer) -> None:
    old, new = issuer.token(), issuer.token(issuer.next_key)
    assert get(api, old).status == 200
    issuer.publish(issuer.key, issuer.next_key)
    eventually(lambda: get(api, new).status == 200)
    assert get(api, old).status == 200
    issuer.publish(issuer.next_key)
    eventually(lambda: get(api, old).status == 401)
    assert get(api, new).status == 200
    issuer.publish(issuer.key)


def test_an_issuer_that_does_not_answer_has_no_valid_token(api: HttpApi, issuer: Issuer) -> None:
    configuration = issuer.documents.pop("/shop/.well-known/openid-configuration")
    issuer.documents["/shop/.well-known/jwks.json"] = issuer.documents["/shop/keys"]
    eventually(lambda: get(api, issuer.token()).status == 401)
    issuer.documents["/shop/.well-known/openid-configuration"] = configuration
    eventually(lambda: get(api, issuer.token()).status == 200)
