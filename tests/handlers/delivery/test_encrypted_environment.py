"""The handler of `encrypted-environment`: links that are signed with the newest secret."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from moto import mock_aws

from delivery.encrypted_environment.links import InvalidOrderError, InvalidSecretError
from tests.handlers.importing import import_handler

KEY = "first-secret"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Secrets Manager with the secret `signing`."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        client.create_secret(Name="signing", SecretString=KEY)
        yield client


def function(max_age: int = 300) -> ModuleType:
    """The handler's module after a cold start."""
    variables = {"BASE_URL": "https://x/pay", "SIGNING_KEY": "signing", "MAX_AGE": str(max_age)}
    return import_handler("delivery.encrypted_environment.handler", variables)


def link(key: str, order: str = "A-17") -> dict[str, str]:
    """The answer with a signature by a key."""
    signature = hmac.new(key.encode(), order.encode(), "sha256").hexdigest()
    return {"link": f"https://x/pay?order={order}&signature={signature}"}


@pytest.mark.usefixtures("secrets")
def test_a_link_is_signed_and_the_secret_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="root"):
        assert function().handler({"order": "A-17"}, None) == link(KEY)
    assert KEY not in caplog.text


def test_a_secret_is_read_again_after_its_age(secrets: Any) -> None:
    keeps, reads = function(max_age=300), function(max_age=0)
    assert keeps.handler({"order": "A-17"}, None) == link(KEY)
    secrets.put_secret_value(SecretId="signing", SecretString="second")
    assert keeps.handler({"order": "A-17"}, None) == link(KEY)
    assert reads.handler({"order": "A-17"}, None) == link("second")
    secrets.put_secret_value(SecretId="signing", SecretString="third")
    assert reads.handler({"order": "A-17"}, None) == link("third")


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(
    "event",
    [None, "A-17", {}, {"order": 17}, {"order": ""}, {"order": "a" * 65}, {"order": "A&B"}, {"order": "A\n"}],
)
def test_a_request_without_an_order_is_refused(event: object) -> None:
    with pytest.raises(InvalidOrderError, match="give 1 to 64 letters, digits and hyphens"):
        function().handler(event, None)


@pytest.mark.parametrize(
    ("value", "said"), [({"SecretBinary": b"key"}, "is binary"), ({"SecretString": " \n"}, "is blank")]
)
def test_a_secret_that_is_no_key_signs_nothing(secrets: Any, value: dict[str, Any], said: str) -> None:
    secrets.put_secret_value(SecretId="signing", **value)
    with pytest.raises(InvalidSecretError, match=said):
        function().handler({"order": "A-17"}, None)


def test_a_secret_that_cannot_be_read_is_an_error(secrets: Any) -> None:
    secrets.delete_secret(SecretId="signing", ForceDeleteWithoutRecovery=True)
    with pytest.raises(GetParameterError):
        function().handler({"order": "A-17"}, None)
