"""The IAM token: what boto3 would make, without boto3's client."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.credentials import Credentials
from botocore.session import Session

from tests.handlers.data.rds_proxy.conftest import ENVIRONMENT
from tests.handlers.loading import LoadedHandler


def token(rds_proxy: LoadedHandler, **changes: str) -> str:
    settings = rds_proxy.settings.Settings.from_environment({**ENVIRONMENT, **changes})
    made: str = rds_proxy.shared.iam_token.make_token(settings)
    return made


@pytest.mark.parametrize("user", ["app_owner", "name+with/odd characters@ö"])
def test_it_is_the_token_that_boto3_makes(
    rds_proxy: LoadedHandler, credentials: Mapping[str, str], user: str
) -> None:
    def fields(made: str) -> dict[str, list[str]]:
        return {"host": [made.partition("/")[0]], **parse_qs(made.partition("?")[2], strict_parsing=True)}

    client = boto3.client("rds", region_name="eu-west-1")
    host = ENVIRONMENT["DB_HOST"]
    for _ in range(3):  # a second may pass between the two
        expected = client.generate_db_auth_token(DBHostname=host, Port=5432, DBUsername=user)
        made = token(rds_proxy, DB_USER=user)
        if fields(made) == fields(expected):
            return
    assert fields(made) == fields(expected)


def test_it_is_good_for_fifteen_minutes_for_one_user_on_one_host(
    rds_proxy: LoadedHandler, credentials: Mapping[str, str]
) -> None:
    made = token(rds_proxy)
    assert made.startswith(f"{ENVIRONMENT['DB_HOST']}:5432/?")
    query = parse_qs(urlsplit(f"https://{made}").query)
    assert query["X-Amz-Expires"] == ["900"]
    assert query["DBUser"] == ["app_owner"]
    assert query["Action"] == ["connect"]
    assert "/eu-west-1/rds-db/aws4_request" in query["X-Amz-Credential"][0]
    assert query["X-Amz-Security-Token"] == ["session"]


def test_credentials_that_are_not_in_the_environment_are_found_by_botocore(
    rds_proxy: LoadedHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setattr(Session, "get_credentials", lambda self: Credentials("ASIAELSEWHERE", "s", "t"))
    query = parse_qs(urlsplit(f"https://{token(rds_proxy)}").query)
    assert query["X-Amz-Credential"][0].startswith("ASIAELSEWHERE/")
    assert query["X-Amz-Security-Token"] == ["t"]


def test_without_credentials_it_says_so(rds_proxy: LoadedHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setattr(Session, "get_credentials", lambda self: None)
    with pytest.raises(RuntimeError, match="no AWS credentials"):
        token(rds_proxy)
