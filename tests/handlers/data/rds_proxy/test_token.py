"""The IAM token: the one that boto3's RDS client makes, without that client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.credentials import ContainerProvider, Credentials

from shared.iam_token import make_token
from shared.login import Login


@pytest.mark.parametrize("user", ["app", "name+with/odd characters@ö"])
def test_it_is_the_token_that_boto3_makes(login: Login, credentials: Mapping[str, str], user: str) -> None:
    def fields(made: str) -> dict[str, list[str]]:
        return {"host": [made.partition("/")[0]], **parse_qs(made.partition("?")[2], strict_parsing=True)}

    client = boto3.client("rds", region_name="eu-west-1")
    for _ in range(3):  # a second may pass between the two
        expected = client.generate_db_auth_token(DBHostname=login.host, Port=5432, DBUsername=user)
        made = make_token(replace(login, user=user))
        if fields(made) == fields(expected):
            return
    assert fields(made) == fields(expected)


def test_it_is_valid_for_fifteen_minutes_for_one_user_on_one_host(
    login: Login, credentials: Mapping[str, str]
) -> None:
    made = make_token(login)
    assert made.startswith(f"{login.host}:5432/?")
    query = parse_qs(urlsplit(f"https://{made}").query)
    assert query["X-Amz-Expires"] == ["900"]
    assert query["DBUser"] == ["app"]
    assert query["Action"] == ["connect"]
    assert "/eu-west-1/rds-db/aws4_request" in query["X-Amz-Credential"][0]
    assert query["X-Amz-Security-Token"] == [credentials["AWS_SESSION_TOKEN"]]


def test_with_snap_start_the_credentials_come_from_the_container_endpoint(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setattr(ContainerProvider, "load", lambda self: Credentials("ASIAELSEWHERE", "s", "t"))
    query = parse_qs(urlsplit(f"https://{make_token(login)}").query)
    assert query["X-Amz-Credential"][0].startswith("ASIAELSEWHERE/")
    assert query["X-Amz-Security-Token"] == ["t"]


def test_without_credentials_it_raises(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError, match="no AWS credentials"):
        make_token(login)
