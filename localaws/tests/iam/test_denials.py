"""`LocalAws.denied()`: what was denied, and which policy has to change."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from localaws import LocalAws

pytestmark = pytest.mark.local

BUCKET = "arn:aws:s3:::photos"
TRUST = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}


def document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(**of: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": BUCKET} | of


@pytest.fixture(scope="module")
def role(local_aws: LocalAws) -> str:
    local_aws.client("s3").create_bucket(Bucket="photos")
    iam = local_aws.client("iam")
    made = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=document(TRUST))
    return str(made["Role"]["Arn"])


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (allow(Action="s3:GetObject"), "no policy of the principal allows this action"),
        (allow(Resource="arn:aws:s3:::other"), "allow this action only on arn:aws:s3:::other"),
        (
            allow(Resource=None) | {"NotResource": BUCKET},
            "allow this action only on all but arn:aws:s3:::photos",
        ),
        (allow(Effect="Deny", Sid="Never"), "a statement 'Never' of an identity policy"),
        (
            allow(Condition={"StringEquals": {"s3:prefix": "public"}}),
            'under conditions that are not met: {"StringEquals": {"s3:prefix": "public"}}',
        ),
    ],
    ids=["action", "resource", "not_resource", "deny", "condition"],
)
def test_a_denial_says_what_the_policies_lack(
    local_aws: LocalAws, role: str, statement: dict[str, Any], why: str
) -> None:
    lists_photos(local_aws, role, {key: value for key, value in statement.items() if value is not None})
    last = local_aws.denied()[-1]
    assert (last.action, last.resource) == ("s3:ListBucket", BUCKET)
    assert last.principal.startswith("arn:aws:sts::123456789012:assumed-role/reader/")
    assert why in last.why, last


def test_a_permissions_boundary_is_named(local_aws: LocalAws, role: str) -> None:
    iam = local_aws.client("iam")
    made = iam.create_policy(PolicyName="boundary", PolicyDocument=document(allow(Action="s3:GetObject")))
    iam.put_role_permissions_boundary(RoleName="reader", PermissionsBoundary=made["Policy"]["Arn"])
    lists_photos(local_aws, role, allow())
    iam.delete_role_permissions_boundary(RoleName="reader")
    assert "its permissions boundary or a session policy does not" in local_aws.denied()[-1].why


def test_a_denial_that_is_repeated_is_counted(local_aws: LocalAws, role: str) -> None:
    for _ in range(2):
        lists_photos(local_aws, role, allow(Resource="arn:aws:s3:::third"))
    (found,) = [one for one in local_aws.denied() if "arn:aws:s3:::third" in one.why]
    assert found.times == 2


def test_a_service_that_a_policy_does_not_admit_is_named(local_aws: LocalAws) -> None:
    queue = local_aws.client("sqs").create_queue(QueueName="alerts")["QueueUrl"]
    attributes = local_aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    arn, rule = attributes["Attributes"]["QueueArn"], "arn:aws:iot:us-east-1:123456789012:rule/r"
    with contextlib.suppress(local_aws.client("sqs").exceptions.ClientError):
        local_aws.deliver_as("iot.amazonaws.com", rule, arn, {})
    last = local_aws.denied()[-1]
    assert (last.principal, last.action, last.resource) == ("iot.amazonaws.com", "sqs:SendMessage", arn)
    assert rule in last.why


def test_a_reset_forgets_the_denials(empty_aws: LocalAws) -> None:
    assert empty_aws.denied() == []


def lists_photos(aws: LocalAws, role: str, statement: dict[str, Any]) -> None:
    """Try it with the role, which has only this statement."""
    aws.client("iam").put_role_policy(RoleName="reader", PolicyName="own", PolicyDocument=document(statement))
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    s3 = aws.session.client(
        "s3",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    with pytest.raises(s3.exceptions.ClientError, match=r"\(AccessDenied\)"):
        s3.list_objects_v2(Bucket="photos")
