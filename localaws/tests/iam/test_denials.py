"""`LocalAws.denied()` and `explain()`: what was denied, by which statements, and which grant is missing."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws
from localaws.explanations import Explanation, Grant, Mismatch, summary

pytestmark = pytest.mark.local

BUCKET = "arn:aws:s3:::photos"
IDENTITY = "identity policy"
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
    ("statement", "why", "mismatch"),
    [
        (
            allow(Action="s3:GetObject"),
            "no policy of the principal allows this action",
            Mismatch("Action", ("s3:GetObject",), "s3:ListBucket"),
        ),
        (
            allow(Resource="arn:aws:s3:::other"),
            "allow this action only on arn:aws:s3:::other",
            Mismatch("Resource", ("arn:aws:s3:::other",), BUCKET),
        ),
        (
            allow(Resource=None) | {"NotResource": BUCKET},
            "allow this action only on all but arn:aws:s3:::photos",
            Mismatch("Resource", (f"not {BUCKET}",), BUCKET),
        ),
        (allow(Effect="Deny", Sid="Never"), "a statement 'Never' of the inline policy own denies it", None),
        (
            allow(Condition={"StringEquals": {"s3:prefix": "public", "aws:username": "ann"}}),
            'that are not met: {"StringEquals": {"s3:prefix": "public"}}; {"StringEquals": {"aws:username"',
            Mismatch("Condition", ("public",), "private", "StringEquals s3:prefix"),
        ),
    ],
    ids=["action", "resource", "not_resource", "deny", "condition"],
)
def test_a_denial_says_what_the_policies_lack(
    local_aws: LocalAws, role: str, statement: dict[str, Any], why: str, mismatch: Mismatch | None
) -> None:
    lists_photos(local_aws, role, {key: value for key, value in statement.items() if value is not None})
    last = local_aws.denied()[-1]
    assert (last.action, last.resource) == ("s3:ListBucket", BUCKET)
    assert last.principal.startswith("arn:aws:sts::123456789012:assumed-role/reader/")
    assert why in last.why, last
    explained = local_aws.explain()[-1]
    assert (explained.action, explained.why, explained.last) == (last.action, last.why, last.last)
    [looked_at] = explained.statements
    assert (looked_at.policy, looked_at.layer, looked_at.number) == (
        "inline policy own",
        "identity policy",
        1,
    )
    if mismatch and mismatch.element == "Condition":
        # A grant without the condition would open what it protects.
        assert (explained.grants, explained.unmet) == ((), (looked_at,))
        assert "StringEquals s3:prefix is public, in the request it is 'private'" in explained.remedy
    elif mismatch:
        assert looked_at.mismatches[0] == mismatch
        [grant] = explained.grants
        assert (grant.layer, grant.actions, grant.resources) == (IDENTITY, ("s3:ListBucket",), (BUCKET,))
        assert grant.code.splitlines()[-1] in str(explained)
    else:
        assert (explained.denied_by, explained.grants) == ((looked_at,), ())
        assert "no grant allows it, as an explicit Deny decides: inline policy own" in str(explained)
    prefix = {"s3:prefix": "private", "aws:username": ""}
    assert explained.conditions == (prefix if mismatch and mismatch.key else {})


def test_a_permissions_boundary_is_named(local_aws: LocalAws, role: str) -> None:
    iam = local_aws.client("iam")
    made = iam.create_policy(PolicyName="boundary", PolicyDocument=document(allow(Action="s3:GetObject")))
    iam.put_role_permissions_boundary(RoleName="reader", PermissionsBoundary=made["Policy"]["Arn"])
    lists_photos(local_aws, role, allow())
    iam.delete_role_permissions_boundary(RoleName="reader")
    assert "its permissions boundary or a session policy does not" in local_aws.denied()[-1].why
    explained = local_aws.explain()[-1]
    assert [one.layer for one in explained.statements] == [IDENTITY, "permissions boundary"]
    assert [one.applies for one in explained.statements] == [True, False]
    [grant] = explained.grants
    assert (grant.layer, grant.actions, grant.resources) == (
        "permissions boundary",
        ("s3:ListBucket",),
        (BUCKET,),
    )


def test_a_statement_with_many_actions_is_shown_in_short() -> None:
    expected = tuple(f"s3:Action{n}" for n in range(1000))
    shown = str(Mismatch("Action", expected, "s3:GetObject"))
    assert "s3:Action11 and 988 others" in shown
    assert len(shown) < 300


def test_one_remedy_for_several_denials_is_shown_once() -> None:
    grant = Grant(
        "identity policy", ("s3:GetObject",), ("arn:aws:s3:::photos/a/*",), "role.add_to_policy(...)"
    )
    denied = [
        Explanation("reader", "s3:GetObject", f"arn:aws:s3:::photos/a/{n}", "no policy", grants=(grant,))
        for n in range(12)
    ]
    lines = summary(denied).splitlines()
    assert len([line for line in lines if "may not" in line]) == 12
    assert len([line for line in lines if "add_to_policy" in line]) == 1


def test_a_session_policy_is_named(local_aws: LocalAws, role: str) -> None:
    lists_photos(local_aws, role, allow(), Policy=document(allow(Action="s3:GetObject")))
    [grant] = local_aws.explain()[-1].grants
    assert (grant.layer, grant.actions) == ("session policy", ("s3:ListBucket",))


def test_both_the_role_and_its_boundary_may_lack_the_action(local_aws: LocalAws, role: str) -> None:
    iam = local_aws.client("iam")
    made = iam.create_policy(PolicyName="narrow", PolicyDocument=document(allow(Action="s3:GetObject")))
    iam.put_role_permissions_boundary(RoleName="reader", PermissionsBoundary=made["Policy"]["Arn"])
    lists_photos(local_aws, role, allow(Action="s3:GetObject"))
    iam.delete_role_permissions_boundary(RoleName="reader")
    assert [one.layer for one in local_aws.explain()[-1].grants] == [IDENTITY, "permissions boundary"]


def test_the_policy_of_a_bucket_that_denies_is_named(local_aws: LocalAws, role: str) -> None:
    s3 = local_aws.client("s3")
    denied = allow(Effect="Deny", Sid="Closed", Principal={"AWS": role})
    s3.put_bucket_policy(Bucket="photos", Policy=document(denied))
    lists_photos(local_aws, role, allow())
    s3.delete_bucket_policy(Bucket="photos")
    explained = local_aws.explain()[-1]
    [denying] = explained.denied_by
    assert (denying.layer, denying.sid, denying.policy) == (
        "resource policy",
        "Closed",
        f"policy of {BUCKET}",
    )
    assert (explained.grants, "'Closed'" in explained.why) == ((), True)


def test_a_key_policy_that_does_not_admit_the_account_is_named(local_aws: LocalAws, role: str) -> None:
    root = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:user/admin"}, "Resource": "*"}
    local_aws.client("iam").create_user(UserName="admin")
    key = local_aws.client("kms").create_key(
        Policy=document(root | {"Action": "kms:*"}), BypassPolicyLockoutSafetyCheck=True
    )["KeyMetadata"]["Arn"]
    with pytest.raises(ClientError, match="AccessDenied"):
        as_role(local_aws, role, allow(Action="kms:Encrypt", Resource=key), "kms").encrypt(
            KeyId=key, Plaintext=b"x"
        )
    explained = local_aws.explain()[-1]
    [grant] = explained.grants
    assert (grant.layer, grant.actions, grant.resources) == ("key policy", ("kms:Encrypt",), (key,))
    assert f'principals=[iam.ArnPrincipal("{role}")]' in grant.code
    admits = next(one for one in explained.statements if one.layer == "key policy")
    assert [one.element for one in admits.mismatches] == ["Principal"]
    assert explained.why == f"its policies allow it, but the key policy of {key} does not"
    with pytest.raises(ClientError, match="AccessDenied"):
        as_role(local_aws, role, allow(), "kms").encrypt(KeyId=key, Plaintext=b"x")
    why = local_aws.explain()[-1].why
    assert why == f"neither a policy of the principal nor the key policy of {key} allows it"


def test_a_grant_does_not_go_round_a_condition_of_a_trust_policy(local_aws: LocalAws, role: str) -> None:
    trust = TRUST | {"Condition": {"StringEquals": {"sts:ExternalId": "secret"}}}
    made = local_aws.client("iam").create_role(RoleName="external", AssumeRolePolicyDocument=document(trust))
    target = made["Role"]["Arn"]
    sts = as_role(local_aws, role, allow(Action="sts:AssumeRole", Resource=target), "sts")
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=target, RoleSessionName="now")
    explained = local_aws.explain()[-1]
    assert (explained.grants, [one.layer for one in explained.unmet]) == ((), ["trust policy"])
    assert "StringEquals sts:ExternalId is secret, in the request it is absent" in explained.remedy
    assert f"its policies allow it, but the trust policy of {target} does not" in explained.why


def test_a_role_that_does_not_trust_the_caller_is_named(local_aws: LocalAws, role: str) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    made = local_aws.client("iam").create_role(RoleName="closed", AssumeRolePolicyDocument=document(trust))
    target = made["Role"]["Arn"]
    sts = as_role(local_aws, role, allow(Action="sts:AssumeRole", Resource=target), "sts")
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=target, RoleSessionName="now")
    [grant] = local_aws.explain()[-1].grants
    assert (grant.layer, grant.actions, grant.resources) == ("trust policy", ("sts:AssumeRole",), (target,))


@pytest.mark.parametrize("service", ["kms", "s3", "secretsmanager", "dynamodb"])
def test_another_accounts_resource_must_allow_the_role_too(
    local_aws: LocalAws, role: str, service: str
) -> None:
    theirs = local_aws.session_of("111122223333").client(service)
    mine = as_role(local_aws, role, allow(), service)
    match service:
        case "kms":
            key = theirs.create_key()["KeyMetadata"]["Arn"]
            call, request = mine.encrypt, {"KeyId": key, "Plaintext": b"x"}
        case "s3":
            theirs.create_bucket(Bucket="their-photos")
            call, request = mine.get_object, {"Bucket": "their-photos", "Key": "cat.jpg"}
        case "secretsmanager":
            secret = theirs.create_secret(Name="s", SecretString="x")["ARN"]
            call, request = mine.get_secret_value, {"SecretId": secret}
        case _:
            table = theirs.create_table(
                TableName="theirs",
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            )["TableDescription"]["TableArn"]
            call, request = mine.get_item, {"TableName": table, "Key": {"id": {"S": "1"}}}
    with pytest.raises(ClientError, match="AccessDenied"):
        call(**request)
    layers = [grant.layer for grant in local_aws.explain()[-1].grants]
    assert layers == ["key policy" if service == "kms" else "resource policy", IDENTITY]


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
    explained = local_aws.explain()[-1]
    assert explained.conditions == {"aws:SourceArn": rule, "aws:SourceAccount": "123456789012"}
    [grant] = explained.grants
    assert (grant.layer, grant.actions, grant.resources) == ("resource policy", ("sqs:SendMessage",), (arn,))
    assert 'principals=[iam.ServicePrincipal("iot.amazonaws.com")]' in grant.code


def test_only_what_was_denied_since_then_is_explained(local_aws: LocalAws, role: str) -> None:
    lists_photos(local_aws, role, allow(Resource="arn:aws:s3:::fourth"))
    last = local_aws.explain()[-1].last
    assert [one.last for one in local_aws.explain(last)] == [last]
    assert local_aws.explain(last + 0.001) == []


def test_a_reset_forgets_the_denials(empty_aws: LocalAws) -> None:
    assert empty_aws.denied() == empty_aws.explain() == []


def lists_photos(aws: LocalAws, role: str, statement: dict[str, Any], **session: str) -> None:
    """Try it with the role, which has only this statement."""
    with pytest.raises(ClientError, match=r"\(AccessDenied\)"):
        as_role(aws, role, statement, "s3", **session).list_objects_v2(Bucket="photos", Prefix="private")


def as_role(aws: LocalAws, role: str, statement: dict[str, Any], service: str, **session: str) -> Any:
    """A client with the role, which has only this statement."""
    aws.client("iam").put_role_policy(RoleName="reader", PolicyName="own", PolicyDocument=document(statement))
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="test", **session)["Credentials"]
    return aws.session.client(
        service,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
