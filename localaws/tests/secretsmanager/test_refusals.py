"""Names, values and deletions that Secrets Manager refuses."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.refusals import Row, check, client, ids
from localaws import LocalAws

pytestmark = pytest.mark.local

INVALID, PARAMETER, REQUEST = "ValidationException", "InvalidParameterException", "InvalidRequestException"


def secret(**changes: Any) -> dict[str, Any]:
    return {"Name": "new", "SecretString": "x", **changes}


def held(**changes: Any) -> dict[str, Any]:
    return {"SecretId": "held", **changes}


REFUSED: list[Row] = [
    (
        "create_secret",
        secret(Name="a b"),
        INVALID,
        "Invalid name. Must be a valid name containing alphanumeric",
    ),
    ("create_secret", secret(Name="a" * 513), INVALID, "less than or equal to 512"),
    ("create_secret", secret(SecretString="x" * 65_537), INVALID, "Value at 'secretString' failed"),
    ("create_secret", secret(SecretString="ä" * 32_769), INVALID, "Value at 'secretString' failed"),
    ("create_secret", secret(SecretString=""), INVALID, "greater than or equal to 1"),
    ("create_secret", secret(SecretBinary=b"x"), PARAMETER, "both a binary secret value and a string"),
    ("create_secret", secret(ClientRequestToken="x" * 31), INVALID, "greater than or equal to 32"),
    ("create_secret", secret(Description="x" * 2049), INVALID, "less than or equal to 2048"),
    ("create_secret", secret(Tags=[{"Key": "aws:a", "Value": "b"}]), PARAMETER, "reserved"),
    ("create_secret", secret(Tags=[{"Key": f"k{n}", "Value": ""} for n in range(51)]), PARAMETER, "50 tags"),
    ("create_secret", secret(Name="held"), "ResourceExistsException", "already exists"),
    ("create_secret", secret(Name="gone"), REQUEST, "scheduled for deletion"),
    ("get_secret_value", {"SecretId": "gone"}, REQUEST, "marked for deletion"),
    ("put_secret_value", held(), REQUEST, "You must provide either SecretString or SecretBinary."),
    ("put_secret_value", held(SecretBinary=b"x" * 65_537), INVALID, "less than or equal to 65536"),
    (
        "put_secret_value",
        held(SecretString="x", VersionStages=[f"s{number}" for number in range(21)]),
        INVALID,
        "less than or equal to 20",
    ),
    ("delete_secret", held(RecoveryWindowInDays=6), PARAMETER, ""),
    ("delete_secret", held(RecoveryWindowInDays=31), PARAMETER, ""),
    ("delete_secret", held(RecoveryWindowInDays=7, ForceDeleteWithoutRecovery=True), PARAMETER, ""),
    ("rotate_secret", held(), REQUEST, "No Lambda rotation function ARN is associated with this secret."),
    ("get_random_password", {"PasswordLength": 4097}, INVALID, "less than or equal to 4096"),
    ("put_resource_policy", held(ResourcePolicy="{"), "MalformedPolicyDocumentException", ""),
]


@pytest.fixture(scope="module")
def aws(local_aws: LocalAws) -> LocalAws:
    """An account with a secret, and one that is scheduled for deletion."""
    secrets = local_aws.client("secretsmanager")
    for name in ("held", "gone"):
        secrets.create_secret(Name=name, SecretString="x")
    secrets.delete_secret(SecretId="gone")
    return local_aws


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_request_is_refused(aws: LocalAws, row: Row) -> None:
    check(aws, "secretsmanager", row)


def test_values_at_the_limits_are_accepted(aws: LocalAws) -> None:
    client(aws, "secretsmanager").create_secret(**secret(Name="a/_+=.@!-1", SecretString="ä" * 32_768))
