"""Policies, names and numbers that IAM refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from helpers.refusals import Row, check, client, document, ids
from localaws import LocalAws

pytestmark = pytest.mark.local

ACCOUNT = "123456789012"
SYNTAX = "Syntax errors in policy."
CONDITION = {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}
LONG = [f"arn:aws:s3:::{'x' * 100}{number}" for number in range(100)]


def trust(**changes: Any) -> str:
    base = {"Action": "sts:AssumeRole", "Principal": {"AWS": ACCOUNT}, "Resource": None}
    return document(**{**base, **changes})


def top(**changes: Any) -> str:
    return json.dumps({**json.loads(document()), **changes})


IDENTITY: dict[str, tuple[str, str]] = {
    "no JSON": ("{", SYNTAX),
    "a list": ("[]", SYNTAX),
    "no statement": (top(Statement=[]), SYNTAX),
    "a version": (top(Version="2012"), SYNTAX),
    "an unknown element": (top(Foo=1), SYNTAX),
    "an unknown element of a statement": (document(Foo=1), SYNTAX),
    "no effect": (document(Effect=None), SYNTAX),
    "an unknown effect": (document(Effect="allow"), SYNTAX),
    "both actions": (document(NotAction="s3:*"), SYNTAX),
    "both resources": (document(NotResource="*"), SYNTAX),
    "an operator": (document(Condition={"StringEqualz": {"a": "b"}}), SYNTAX),
    "a condition without keys": (document(Condition={"StringEquals": "b"}), SYNTAX),
    "a number as action": (document(Action=[1]), SYNTAX),
    "a date": (document(Condition={"DateLessThan": {"aws:CurrentTime": "soon"}}), "failed legacy parsing"),
    "a principal": (document(Principal="*"), "Policy document should not specify a principal."),
    "equal ids": (
        top(Statement=[{"Sid": "a", "Effect": "Allow", "Action": "*", "Resource": "*"}] * 2),
        "Statement IDs (SID) in a single policy must be unique.",
    ),
    "an id": (document(Sid="a b"), "Statement IDs (SID) must be alpha-numeric."),
    "no action": (document(Action=None), "Policy statement must contain actions."),
    "an action without service": (document(Action="GetObject"), "must be prefaced by a vendor"),
    "an action with two colons": (document(Action="s3:Get:Object"), "can contain only one colon"),
    "a service": (document(Action="s 3:Get"), "Vendor s 3 is not valid"),
    "no resource": (document(Resource=None), "Policy statement must contain resources."),
    "no resource in the list": (document(Resource=[]), "Policy statement must contain resources."),
    "a name as resource": (document(Resource="bucket"), 'Resource bucket must be in ARN format or "*".'),
    "a partition": (document(Resource="arn:awz:s3:::x"), 'Partition "awz" is not valid for resource'),
    "every service": (document(Resource="arn:aws:*:::x"), "cannot contain regexes"),
    "a short ARN": (document(Resource="arn:aws:s3:x"), "The policy failed legacy parsing"),
    "a Region of IAM": (
        document(Resource="arn:aws:iam:us-east-1::role/x"),
        "cannot contain region information",
    ),
    "a Region of S3": (document(Resource="arn:aws:s3:us-east-1::x"), "can not contain region information"),
    "a path of IAM": (document(Resource="arn:aws:iam::1:x"), "IAM resource path must either be"),
}
TRUST: dict[str, tuple[str, str]] = {
    "no JSON": ("{", SYNTAX),
    "no principal": (trust(Principal=None), "Missing required field Principal"),
    "an empty principal": (trust(Principal={}), SYNTAX),
    "a name as principal": (trust(Principal="lambda.amazonaws.com"), SYNTAX),
    "a kind of principal": (trust(Principal={"Foo": "x"}), 'Invalid principal in policy: "Foo":"x"'),
    "a service": (trust(Principal={"Service": "lambda"}), '"SERVICE":"lambda"'),
    "a missing role": (
        trust(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/none"}),
        f'Invalid principal in policy: "AWS":"arn:aws:iam::{ACCOUNT}:role/none"',
    ),
    "a wildcard": (trust(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"}), "Invalid principal"),
    "a resource": (trust(Resource="*"), "Has prohibited field Resource"),
    "an action": (trust(Action="s3:GetObject"), "AssumeRole policy may only specify STS AssumeRole actions."),
}
ALLOWED_IDENTITY = [
    top(Version="2008-10-17"),
    document(Action="*", Condition={"ForAllValues:StringLikeIfExists": {"aws:TagKeys": ["a*"]}}),
    document(Resource=["arn:aws:s3:::a/*", "arn:aws:s3:us-east-1:123456789012:accesspoint/a"], Sid="A1"),
    document(Action=None, NotAction="iam:*", Condition={"Null": {"aws:TokenIssueTime": "true"}}),
    document(Resource="arn:aws:iam::*:role/${aws:username}", Condition={"Bool": {"aws:ViaAWSService": True}}),
]
ALLOWED_TRUST = [
    trust(Principal={"Service": ["lambda.amazonaws.com", "edgelambda.amazonaws.com"]}),
    trust(Principal="*", Condition=CONDITION, Sid="Any caller of the account"),
    trust(
        Principal={"AWS": [ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root"]},
        Action=["sts:AssumeRole", "sts:TagSession"],
    ),
    trust(Principal={"Federated": "cognito-identity.amazonaws.com"}, Action="sts:AssumeRoleWithWebIdentity"),
]
ROLE = {"RoleName": "new", "AssumeRolePolicyDocument": trust()}
VALUES: list[Row] = [
    ("create_role", {**ROLE, "RoleName": "a b"}, "ValidationError", "at 'roleName' failed"),
    ("create_role", {**ROLE, "RoleName": "a" * 65}, "ValidationError", "length less than or equal to 64"),
    ("create_role", {**ROLE, "Path": "path"}, "ValidationError", "Value 'path' at 'path' failed"),
    ("create_role", {**ROLE, "Description": "a \u2014 b"}, "ValidationError", "at 'description' failed"),
    ("create_role", {**ROLE, "Description": "a" * 1001}, "ValidationError", "less than or equal to 1000"),
    ("create_role", {**ROLE, "MaxSessionDuration": 3599}, "ValidationError", "greater than or equal to 3600"),
    ("update_role", {"RoleName": "held", "MaxSessionDuration": 43201}, "ValidationError", "equal to 43200"),
    (
        "create_role",
        {**ROLE, "RoleName": "a b", "MaxSessionDuration": 1},
        "ValidationError",
        "2 validation errors detected: Value 'a b' at 'roleName' failed",
    ),
    (
        "create_role",
        {**ROLE, "Tags": [{"Key": f"k{number}", "Value": "v"} for number in range(51)]},
        "ValidationError",
        "at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50",
    ),
    (
        "create_role",
        {**ROLE, "Tags": [{"Key": "a<b", "Value": "v"}]},
        "ValidationError",
        "Value 'a<b' at 'tags.1.member.key' failed",
    ),
    (
        "create_role",
        {**ROLE, "AssumeRolePolicyDocument": trust(Sid="x" * 2048)},
        "LimitExceeded",
        "Cannot exceed quota for ACLSizePerRole: 2048",
    ),
    (
        "create_policy",
        {"PolicyName": "a b", "PolicyDocument": document()},
        "ValidationError",
        "at 'policyName'",
    ),
    (
        "create_policy",
        {"PolicyName": "a", "PolicyDocument": top(Version="2008-10-17")},
        "MalformedPolicyDocument",
        "Policy document must be version 2012-10-17 or greater.",
    ),
    (
        "create_policy",
        {"PolicyName": "a", "PolicyDocument": document(Resource=LONG[:60])},
        "LimitExceeded",
        "Cannot exceed quota for PolicySize: 6144",
    ),
    (
        "put_role_policy",
        {"RoleName": "held", "PolicyName": "a", "PolicyDocument": document(Resource=LONG)},
        "LimitExceeded",
        "Maximum policy size of 10240 bytes exceeded for role held",
    ),
    (
        "attach_role_policy",
        {"RoleName": "held", "PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/none"},
        "NoSuchEntity",
        "does not exist or is not attachable",
    ),
    (
        "attach_role_policy",
        {"RoleName": "held", "PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/p10"},
        "LimitExceeded",
        "Cannot exceed quota for PoliciesPerRole: 10",
    ),
    (
        "create_access_key",
        {"UserName": "user"},
        "LimitExceeded",
        "Cannot exceed quota for AccessKeysPerUser: 2",
    ),
    ("delete_role", {"RoleName": "held"}, "DeleteConflict", "must detach all policies first"),
]


@pytest.fixture(scope="module")
def aws(local_aws: LocalAws) -> LocalAws:
    """An account with a role that has ten policies, and a user with two access keys."""
    iam = local_aws.client("iam")
    iam.create_role(RoleName="held", AssumeRolePolicyDocument=trust())
    for number in range(11):
        made = iam.create_policy(PolicyName=f"p{number}", PolicyDocument=document())["Policy"]["Arn"]
        if number < 10:
            iam.attach_role_policy(RoleName="held", PolicyArn=made)
    iam.create_user(UserName="user")
    for _ in range(2):
        iam.create_access_key(UserName="user")
    return local_aws


@pytest.mark.parametrize(("policy", "text"), IDENTITY.values(), ids=IDENTITY)
def test_an_identity_policy_is_refused(aws: LocalAws, policy: str, text: str) -> None:
    given = {"PolicyName": "new", "PolicyDocument": policy}
    for operation, owner in (("create_policy", {}), ("put_role_policy", {"RoleName": "held"})):
        check(aws, "iam", (operation, {**owner, **given}, "MalformedPolicyDocument", text))


@pytest.mark.parametrize(("policy", "text"), TRUST.values(), ids=TRUST)
def test_a_trust_policy_is_refused(aws: LocalAws, policy: str, text: str) -> None:
    role = {"RoleName": "new", "AssumeRolePolicyDocument": policy}
    check(aws, "iam", ("create_role", role, "MalformedPolicyDocument", text))
    changed = {"RoleName": "held", "PolicyDocument": policy}
    check(aws, "iam", ("update_assume_role_policy", changed, "MalformedPolicyDocument", text))


@pytest.mark.parametrize("row", VALUES, ids=ids(VALUES))
def test_a_value_is_refused(aws: LocalAws, row: Row) -> None:
    check(aws, "iam", row)


def test_policies_of_every_documented_form_are_accepted(aws: LocalAws) -> None:
    iam = client(aws, "iam")
    for policy in ALLOWED_IDENTITY:
        iam.put_role_policy(RoleName="held", PolicyName="own", PolicyDocument=policy)
    for policy in ALLOWED_TRUST:
        iam.update_assume_role_policy(RoleName="held", PolicyDocument=policy)
