"""The functions of `cloudfront-functions`, run by Node.js with recorded events, and the handler."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import localaws.services
from edge.cloudfront_functions.handler import handler
from edge.cloudfront_functions.prices import UnknownCurrencyError, prices

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "lambda_src" / "edge" / "cloudfront_functions"
WORKER = Path(localaws.services.__path__[0]) / "cloudfront" / "functions.js"
RECORDED = json.loads(Path(__file__).with_name("cloudfront_events.json").read_text("utf-8"))
PATH, SECRET = "/private/report.html", "a secret"
ITEMS = {"/manual": "/docs/", "key:1": SECRET, "key:empty": ""}


class Runtime:
    """The sandbox of the embedded AWS, without the rest of it."""

    def __init__(self) -> None:
        # That of the environment, or that of the machine.
        node = shutil.which("node", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        assert node is not None
        self._process = subprocess.Popen(
            [node, WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def run(self, name: str, event: Mapping[str, Any]) -> Any:
        return self.run_code((SOURCE / f"{name}.js").read_text("utf-8"), event)

    def run_code(self, code: str, event: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {
            "code": code,
            "runtime": "cloudfront-js-2.0",
            "event": event,
            "store": {"items": ITEMS, "created": "", "modified": ""},
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer
        return answer["value"]

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    started = Runtime()
    yield started
    started.close()


def request(uri: str, query: Mapping[str, str] | None = None, **headers: str) -> dict[str, Any]:
    """The recorded event of a request, for another URI."""
    event: dict[str, Any] = copy.deepcopy(RECORDED["viewer-request"])
    event["request"]["uri"] = uri
    event["request"]["querystring"] = {name: {"value": value} for name, value in (query or {}).items()}
    event["request"]["headers"] |= {name.replace("_", "-"): {"value": v} for name, v in headers.items()}
    return event


def token(path: str = PATH, key: str = "1", secret: str = SECRET, seconds: int = 3600) -> str:
    """A token for a path."""
    expires = int(time.time()) + seconds
    digest = hmac.digest(secret.encode(), f"{path}\n{expires}".encode(), hashlib.sha256)
    return f"{key}.{expires}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def test_an_item_of_the_store_is_a_redirect(runtime: Runtime) -> None:
    answer = runtime.run("viewer_request", request("/manual"))
    assert (answer["statusCode"], answer["headers"]["location"]) == (301, {"value": "/docs/"})


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ({"currency": "USD", "page": "2", "utm_source": "mail"}, "/docs/?currency=usd&page=2"),
        ({"currency": "usd%0d%0ax: y"}, "/docs/"),
        ({"currency": "", "token": "x"}, "/docs/"),
    ],
)
def test_a_redirect_keeps_the_query_that_matters(
    runtime: Runtime, query: dict[str, str], location: str
) -> None:
    answer = runtime.run("viewer_request", request("/manual", query))
    assert answer["headers"]["location"] == {"value": location}


@pytest.mark.parametrize(
    ("uri", "rewritten"), [("/docs/", "/docs/index.html"), ("/", "/index.html"), ("/docs", "/docs")]
)
def test_a_folder_is_its_index(runtime: Runtime, uri: str, rewritten: str) -> None:
    assert runtime.run("viewer_request", request(uri))["uri"] == rewritten


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ({"utm_source": "mail", "page": "2", "currency": "EUR"}, {"currency": "eur", "page": "2"}),
        ({"page": "2", "currency": "eur"}, {"currency": "eur", "page": "2"}),
        ({"Currency": "eur", "token": "x"}, {}),
        ({"currency": ""}, {}),
    ],
)
def test_the_query_is_reduced_to_what_matters(
    runtime: Runtime, query: dict[str, str], kept: dict[str, str]
) -> None:
    returned = runtime.run("viewer_request", request("/api/prices", query))["querystring"]
    assert list(returned.items()) == [(name, {"value": value}) for name, value in kept.items()]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de-DE,de;q=0.9", "de"),
        (" DE", "de"),
        ("fr", "fr"),
        ("en-US", "en"),
        ("it", "en"),
        ("", "en"),
        ("fr;q=0.1, de;q=1", "de"),
        ("it, fr ; q=0.5, de;q=0.4", "fr"),
        ("en, de;q=0.9", "en"),
        ("de;q=0, fr;q=0", "en"),
        ("de;q=x", "en"),
        ("den", "en"),
        ("frr", "en"),
    ],
)
def test_the_language_is_one_of_three(runtime: Runtime, accepted: str, language: str) -> None:
    returned = runtime.run("viewer_request", request("/api/prices", accept_language=accepted))
    assert returned["headers"]["accept-language"] == {"value": language}
    assert returned["headers"]["host"] == RECORDED["viewer-request"]["request"]["headers"]["host"]


# Each makes its token when the test runs, from one that is valid then.
TOKENS: dict[str, Callable[[str], str | None]] = {
    "valid": lambda valid: valid,
    "none": lambda valid: None,
    "empty": lambda valid: "",
    "expired": lambda valid: token(seconds=-1),
    "another secret": lambda valid: token(secret="guessed"),
    "another path": lambda valid: token(path="/private/other.html"),
    "an unknown key": lambda valid: token(key="2"),
    "longer": lambda valid: f"{valid}x",
    "shorter": lambda valid: valid[:-1],
    "a later time": lambda valid: valid.replace(".", ".9", 1),
    "no signature": lambda valid: f"{valid.rpartition('.')[0]}.",
    "no time": lambda valid: "1.soon.x",
    "a time in another notation": lambda valid: "1.1e99.x",
    "other separators": lambda valid: valid.replace(".", ":"),
    "an empty secret": lambda valid: token(key="empty", secret=""),
    "an item that is no key": lambda valid: "manual.99999999999.x",
}


@pytest.mark.parametrize("kind", TOKENS)
def test_only_a_signed_token_opens_a_private_page(runtime: Runtime, kind: str) -> None:
    given, allowed = TOKENS[kind](token()), kind == "valid"
    query = {} if given is None else {"token": given}
    answer = runtime.run("viewer_request", request(PATH, query))
    assert answer.get("statusCode") == (None if allowed else 403)
    if allowed:
        assert answer["querystring"] == {}  # one object in the cache for all tokens


@pytest.mark.parametrize(
    "imports",
    [
        'import c from"crypto";import k from"cloudfront";',
        'import*as c from"crypto";import k from"cloudfront";',
        'import{createHash as h}from"crypto";import k from"cloudfront";const c={createHash:h};',
        "import c from 'crypto' // no semicolon\nimport k from 'cloudfront'\n",
    ],
)
def test_the_sandbox_takes_minified_imports(runtime: Runtime, imports: str) -> None:
    body = 'async function handler(e){c.createHash("sha256");return k.kvs().get(e.key)}'
    assert runtime.run_code(imports + body, {"key": "/manual"}) == "/docs/"


ENCODED = [
    "/%70rivate/report.html",
    "/privat%65/report.html",
    "/private%2Freport.html",
    "/private%2freport.html",
]


@pytest.mark.parametrize("uri", ENCODED)
def test_an_encoded_path_is_as_private_as_the_decoded_one(runtime: Runtime, uri: str) -> None:
    answer = runtime.run("viewer_request", request(uri))
    assert (answer["statusCode"], answer["headers"]["cache-control"]) == (403, {"value": "no-store"})
    assert runtime.run("viewer_request", request(uri, {"token": token()}))["uri"] == uri


TWO_WAYS = (
    "//private/x /%2Fprivate/x /docs/../private/x /docs/..%2Fprivate/x /%2e%2E/private/x /./private/x "
    "/docs/%2e /docs%5C.. /% /%zz /100%/x /%FC.html /%C0%AFprivate"
)


@pytest.mark.parametrize("uri", TWO_WAYS.split())
def test_a_path_that_can_be_read_in_two_ways_is_refused(runtime: Runtime, uri: str) -> None:
    assert runtime.run("viewer_request", request(uri))["statusCode"] == 400


@pytest.mark.parametrize("uri", ["/a%20b.html", "/%C3%BC.html", "/%2570rivate/x", "/.well-known/x", "/a..b"])
def test_other_paths_are_left_as_they_are(runtime: Runtime, uri: str) -> None:
    assert runtime.run("viewer_request", request(uri))["uri"] == uri


@pytest.mark.parametrize("uri", ["/manual", PATH, "/%"])
def test_made_answers_have_the_security_headers_of_the_others(runtime: Runtime, uri: str) -> None:
    made = runtime.run("viewer_request", request(uri))["headers"]
    others = runtime.run("viewer_response", RECORDED["viewer-response"])["headers"]
    for name in ("strict-transport-security", "x-content-type-options", "referrer-policy"):
        assert made[name] == others[name]


@pytest.mark.parametrize(("content_type", "policies"), [("text/html; charset=utf-8", 1), ("image/png", 0)])
def test_responses_get_security_headers(runtime: Runtime, content_type: str, policies: int) -> None:
    event = copy.deepcopy(RECORDED["viewer-response"])
    event["response"]["headers"]["content-type"] = {"value": content_type}
    headers = runtime.run("viewer_response", event)["headers"]
    assert {"strict-transport-security", "x-content-type-options", "referrer-policy"} <= headers.keys()
    assert ("content-security-policy" in headers) is bool(policies)
    assert headers["cache-control"] == event["response"]["headers"]["cache-control"]


@pytest.mark.parametrize("uri", [PATH, *ENCODED])
def test_browsers_do_not_store_private_pages(runtime: Runtime, uri: str) -> None:
    event = copy.deepcopy(RECORDED["viewer-response"])
    event["request"]["uri"] = uri
    assert runtime.run("viewer_response", event)["headers"]["cache-control"]["value"] == "private, no-store"


def test_the_handler_answers_with_prices_that_may_be_cached() -> None:
    context = SimpleNamespace(aws_request_id="r-1")
    event = {"rawPath": "/api/prices", "headers": {"accept-language": "de"}}
    answer = handler({**event, "queryStringParameters": {"currency": "usd"}}, context)
    assert (answer["statusCode"], answer["headers"]["cache-control"]) == (200, "public, max-age=300")
    expected = {"currency": "usd", "language": "de", "prices": {"Tee": "3.52", "Brot": "4.95"}}
    assert json.loads(answer["body"]) == {**expected, "request": "r-1"}
    assert json.loads(handler({**event, "headers": {}}, context)["body"])["language"] == "en"
    wrong = handler({**event, "queryStringParameters": {"currency": "x"}}, context)
    assert (wrong["statusCode"], wrong["headers"]["cache-control"]) == (400, "no-store")


@pytest.mark.parametrize("language", ["fr-CH", "FR", "fr"])
def test_prices_in_a_language(language: str) -> None:
    assert prices("EUR", language)["prices"] == {"thé": "3.20", "pain": "4.50"}


def test_a_language_with_the_same_first_letters_is_another_one() -> None:
    assert prices("eur", "frr, fr;q=0.5")["language"] == "en"


def test_an_unknown_currency_is_named() -> None:
    with pytest.raises(UnknownCurrencyError, match=r"currency='xyz'.*eur, gbp, usd"):
        prices("xyz", "en")
