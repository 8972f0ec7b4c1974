"""Sessions that STS refuses."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.refusals import Row, check, document, ids
from localaws import LocalAws

pytestmark = pytest.mark.local

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/assumed"


def session(**changes: Any) -> dict[str, Any]:
    return {"RoleArn": ROLE, "RoleSessionName": "session", **changes}


INVALID = "ValidationError"
REFUSED: list[Row] = [
    (
        "assume_role",
        session(DurationSeconds=899),
        INVALID,
        "Member must have value greater than or equal to 900",
    ),
    (
        "assume_role",
        session(DurationSeconds=43_201),
        INVALID,
        "Member must have value less than or equal to 43200",
    ),
    (
        "assume_role",
        session(DurationSeconds=7201),
        INVALID,
        "exceeds the MaxSessionDuration set for this role",
    ),
    (
        "assume_role",
        session(RoleSessionName="a"),
        INVALID,
        "Member must have length greater than or equal to 2",
    ),
    ("assume_role", session(RoleSessionName="x" * 65), INVALID, "less than or equal to 64"),
    ("assume_role", session(RoleSessionName="a b"), INVALID, "Value 'a b' at 'roleSessionName' failed"),
    ("assume_role", session(ExternalId="a"), INVALID, "Value 'a' at 'externalId' failed"),
    ("assume_role", session(ExternalId="a b"), INVALID, "Value 'a b' at 'externalId' failed"),
    ("assume_role", session(RoleArn="role"), INVALID, "Value 'role' at 'roleArn' failed"),
    ("assume_role", session(Policy="{"), "MalformedPolicyDocument", ""),
    ("assume_role", session(Policy=document(Sid="x" * 2048)), INVALID, "less than or equal to 2048"),
    ("get_session_token", {"DurationSeconds": 899}, INVALID, "greater than or equal to 900"),
    ("get_session_token", {"DurationSeconds": 129_601}, INVALID, "less than or equal to 129600"),
]


@pytest.fixture(scope="module")
def aws(local_aws: LocalAws) -> LocalAws:
    """An account with a role whose sessions last up to two hours."""
    trust = document(Action="sts:AssumeRole", Principal={"AWS": ACCOUNT}, Resource=None)
    iam = local_aws.client("iam")
    iam.create_role(RoleName="assumed", AssumeRolePolicyDocument=trust, MaxSessionDuration=7200)
    allowed = document(Action="sts:AssumeRole")
    iam.put_role_policy(RoleName="assumed", PolicyName="itself", PolicyDocument=allowed)
    return local_aws


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_session_is_refused(aws: LocalAws, row: Row) -> None:
    check(aws, "sts", row)


def test_a_role_that_assumes_another_one_has_an_hour(aws: LocalAws) -> None:
    key = aws.client("sts").assume_role(**session(DurationSeconds=7200))["Credentials"]
    chained = aws.session.client(
        "sts",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key["SessionToken"],
    )
    chained.assume_role(**session(DurationSeconds=3600))
    with pytest.raises(chained.exceptions.ClientError, match="1 hour session limit"):
        chained.assume_role(**session(DurationSeconds=3601))
