"""The resource that a request is authorised for, of services whose bridges name it by the path."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from localaws.services.cloudfront import key_value_stores
from localaws.services.iam.resources import Request
from localaws.services.lambda_ import code_signing_configs, layers

STORE = "arn:aws:cloudfront::123456789012:key-value-store/5f1a4f0e-0f2d-4a39-9d1d-2f0e9a0b3c4d"
CONFIG = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0"
LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:words"


def request(service: str, path: str) -> Request:
    return Request(service, path, {}, b"", {}, "eu-west-1", "123456789012", "*")


@pytest.mark.parametrize(
    ("namer", "service", "path", "arn"),
    [
        (
            key_value_stores._store,
            "cloudfront-keyvaluestore",
            f"/key-value-stores/{quote(STORE, safe='')}/keys/a",
            STORE,
        ),
        (key_value_stores._store, "cloudfront-keyvaluestore", "/key-value-stores", None),
        (
            key_value_stores._managed,
            "cloudfront",
            "/2020-05-31/function/redirect/publish",
            "arn:aws:cloudfront::123456789012:function/redirect",
        ),
        (
            key_value_stores._managed,
            "cloudfront",
            "/2020-05-31/key-value-store/keys",
            "arn:aws:cloudfront::123456789012:key-value-store/keys",
        ),
        (key_value_stores._managed, "cloudfront", "/2020-05-31/distribution/E1", None),
        (
            code_signing_configs._config,
            "lambda",
            f"/2020-04-22/code-signing-configs/{quote(CONFIG, safe='')}",
            CONFIG,
        ),
        (code_signing_configs._config, "lambda", "/2020-04-22/code-signing-configs", None),
        (layers._version, "lambda", "/2018-10-31/layers/words/versions/3", f"{LAYER}:3"),
        (layers._version, "lambda", "/2018-10-31/layers/words/versions", LAYER),
        (layers._version, "lambda", "/2015-03-31/functions/f", None),
    ],
)
def test_the_path_names_the_resource(
    namer: Callable[[Request], str | None], service: str, path: str, arn: str | None
) -> None:
    assert namer(request(service, path)) == arn
