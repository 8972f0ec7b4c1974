"""Verdicts of IAM: which statements apply to a request."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.core import iam_evaluator
from ministack.core.responses import request_scope
from ministack.services import iam

from helpers.stacks import session_of
from iam.test_evaluation import assumed
from localaws import LocalAws
from localaws.services.iam import statements

ACCOUNT = "123456789012"
OTHER = "210987654321"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/jobs/worker"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/now"
TOPIC = f"arn:aws:sns:x:{ACCOUNT}:t"
NAMED = {"aws__username": "ann"}
BUCKET = "arn:aws:s3:::photos"


def request_of(
    caller: str = ANN, *, action: str = "s3:GetObject", resource: str = f"{BUCKET}/a", **keys: Any
) -> iam_evaluator.EvalContext:
    """A request, with condition keys: `aws__username` is `aws:username`."""
    known = {name.replace("__", ":").replace("_SLASH_", "/").lower(): value for name, value in keys.items()}
    return iam_evaluator.EvalContext(
        principal_arn=caller,
        principal_type="User",
        principal_account=caller.split(":")[4] if ":" in caller else "",
        action=action,
        resource_arn=resource,
        region="us-east-1",
        service_context=known,
    )


@pytest.fixture(autouse=True)
def _bridged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The functions of the bridge in the evaluator of this process, for the tests without a server."""
    if "local_aws" in request.fixturenames:
        yield
        return
    stock = {name: getattr(iam_evaluator, name) for name in ("parse_policy_document", "_conditions_met")}
    stock |= {
        name: getattr(iam_evaluator, name)
        for name in ("_resolve_condition_key", "_evaluate_single_condition")
    }
    replaced = ("_fnmatch_compile", "_first_match", "_principal_matches")
    for name in replaced:
        monkeypatch.setattr(iam_evaluator, name, getattr(statements, name))
    for name, function in stock.items():
        ours = getattr(statements, {"parse_policy_document": "_parse_policy_document"}.get(name, name))
        monkeypatch.setattr(iam_evaluator, name, lambda *args, o=ours, s=function: o(s, *args))
    monkeypatch.setattr(iam_evaluator, "evaluate_resource_policy", statements._evaluate_resource_policy)
    operators = statements._condition_operators(iam_evaluator._CONDITION_OPS)
    monkeypatch.setattr(iam_evaluator, "_CONDITION_OPS", operators)
    with request_scope(ACCOUNT, "us-east-1"):
        iam._roles["worker"] = {"Arn": ROLE}
        yield
        iam._roles.pop("worker", None)


def document(*given: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    return {"Version": version, "Statement": [{"Effect": "Allow", "Action": "*"} | one for one in given]}


def allows(statement: dict[str, Any], request: iam_evaluator.EvalContext, **more: Any) -> bool:
    """Whether an identity policy with one statement allows the request."""
    parsed = iam_evaluator.parse_policy_document(document({"Resource": "*"} | statement, **more))
    return bool(iam_evaluator.evaluate(request, [parsed]).decision == "Allow")


OBJECT = "arn:aws:s3:::photos/{}".format


@pytest.mark.parametrize(
    ("pattern", "key", "keys", "expected"),
    [
        ("home/${aws:username}/*", "home/ann/x", {"aws__username": "ann"}, True),
        ("home/${aws:UserName}/*", "home/ann/x", {"aws__username": "ann"}, True),
        ("home/${aws:username}/*", "home/bob/x", {"aws__username": "ann"}, False),
        ("home/${aws:username}/*", "home/${aws:username}/x", {}, False),
        ("home/${aws:username}/*", "home//x", {}, False),
        ("${aws:userid}/*", "AROA1:now/x", {"aws__userid": "AROA1:now"}, True),
        ("${aws:PrincipalTag/team}/*", "red/x", {"aws__PrincipalTag_SLASH_team": "red"}, True),
        ("${aws:PrincipalTag/team, 'none'}/*", "none/x", {}, True),
        ("${aws:PrincipalTag/team, 'none'}/*", "red/x", {"aws__PrincipalTag_SLASH_team": "red"}, True),
        ("${aws:PrincipalTag/team, 'none'}/*", "none/x", {"aws__PrincipalTag_SLASH_team": "red"}, False),
        ("${aws:PrincipalAccount}/${aws:username}", f"{ACCOUNT}/ann", {"aws__username": "ann"}, True),
        ("a${*}b", "a*b", {}, True),
        ("a${*}b", "axb", {}, False),
        ("a${?}b", "a?b", {}, True),
        ("a${?}b", "axb", {}, False),
        ("a${$}{b}", "a${b}", {}, True),
        ("${aws:PrincipalTag/team}/*", "anyone/x", {"aws__PrincipalTag_SLASH_team": "*"}, False),
        ("${aws:PrincipalTag/team}/*", "*/x", {"aws__PrincipalTag_SLASH_team": "*"}, True),
        ("${s3:prefix}", "a", {"s3__prefix": "a"}, True),
        ("${aws:CalledVia}", "x", {"aws__calledvia": ["x"]}, False),
        ("*", "two\nlines", {}, True),
        ("two*", "two\nlines", {}, True),
        ("two?lines", "two\nlines", {}, True),
        ("x", "x\n", {}, False),
        ("x?", "x\n", {}, True),
        ("*", "", {}, True),
        ("a", "A", {}, False),
    ],
)
def test_a_resource_matches_with_variables_and_wildcards(
    pattern: str, key: str, keys: dict[str, Any], expected: bool
) -> None:
    request = request_of(resource=OBJECT(key), **keys)
    assert allows({"Resource": OBJECT(pattern)}, request) is expected
    del_resource = {"Resource": None, "NotResource": OBJECT(pattern)}
    assert allows(del_resource, request) is not expected


def test_without_the_newer_version_a_variable_is_plain_text() -> None:
    old = {"version": "2008-10-17"}
    request = request_of(resource=OBJECT("ann"), aws__username="ann")
    assert not allows({"Resource": OBJECT("${aws:username}")}, request, **old)
    assert allows(
        {"Resource": OBJECT("${aws:username}")}, request_of(resource=OBJECT("${aws:username}")), **old
    )


@pytest.mark.parametrize(
    ("operator", "key", "value", "keys", "expected"),
    [
        ("StringLike", "s3:prefix", "${aws:username}/*", {"s3__prefix": "ann/x"} | NAMED, True),
        ("StringLike", "s3:prefix", "${aws:username}/*", {"s3__prefix": "bob/x"} | NAMED, False),
        ("StringEquals", "s3:prefix", "${aws:username}", {"s3__prefix": "ann", "aws__username": "ann"}, True),
        ("StringEquals", "s3:prefix", "a${*}", {"s3__prefix": "a*"}, True),
        ("StringEquals", "s3:prefix", "${aws:username}", {"s3__prefix": "ann"}, False),
        ("StringNotEquals", "s3:prefix", "${aws:username}", {"s3__prefix": "ann"}, True),
        ("StringNotEquals", "s3:prefix", "a", {}, True),
        ("StringEquals", "s3:prefix", "a", {}, False),
        ("StringEqualsIfExists", "s3:prefix", "a", {}, True),
        ("StringEqualsIfExists", "s3:prefix", "a", {"s3__prefix": "b"}, False),
        ("StringLike", "s3:prefix", "a*", {"s3__prefix": "a\nb"}, True),
        ("ForAllValues:StringEquals", "aws:TagKeys", ["a", "b"], {"aws__tagkeys": ["a"]}, True),
        ("ForAllValues:StringEquals", "aws:TagKeys", ["a"], {"aws__tagkeys": ["a", "c"]}, False),
        ("ForAllValues:StringEquals", "aws:TagKeys", ["a"], {"aws__tagkeys": []}, True),
        ("ForAllValues:StringEquals", "s3:x", ["a"], {}, True),
        ("ForAnyValue:StringEquals", "aws:TagKeys", ["a"], {"aws__tagkeys": ["a", "c"]}, True),
        ("ForAnyValue:StringEquals", "aws:TagKeys", ["a"], {"aws__tagkeys": []}, False),
        ("ForAnyValue:StringEquals", "s3:x", ["a"], {}, False),
        ("Null", "s3:x", "true", {}, True),
        ("Null", "s3:x", "false", {}, False),
        ("Null", "s3:x", True, {}, True),
        ("Null", "aws:TagKeys", "true", {"aws__tagkeys": []}, True),
        ("Null", "s3:x", "false", {"s3__x": "a"}, True),
        ("ArnLike", "aws:SourceArn", "arn:aws:sns:*:*:t*", {"aws__sourcearn": TOPIC + "1"}, True),
        ("ArnLike", "aws:SourceArn", "arn:aws:sns:*:t", {"aws__sourcearn": TOPIC}, False),
        ("ArnLike", "aws:SourceArn", "arn:*:t", {"aws__sourcearn": TOPIC}, False),
        ("ArnEquals", "aws:SourceArn", f"arn:aws:sns:x:{ACCOUNT}:*", {"aws__sourcearn": TOPIC + ":b"}, True),
        ("ArnNotLike", "aws:SourceArn", "arn:aws:sns:*:t", {"aws__sourcearn": TOPIC}, True),
        ("ArnLike", "aws:SourceArn", "*", {"aws__sourcearn": TOPIC}, True),
        ("Bool", "aws:SecureTransport", "false", {}, True),
        ("StringEquals", "aws:PrincipalArn", ANN, {}, True),
    ],
)  # fmt: skip
def test_a_condition_is_met(
    operator: str, key: str, value: object, keys: dict[str, Any], expected: bool
) -> None:
    assert allows({"Condition": {operator: {key: value}}}, request_of(**keys)) is expected


def test_the_principal_arn_of_a_session_is_that_of_its_role() -> None:
    condition = {"ArnEquals": {"aws:PrincipalArn": ROLE}}
    assert allows({"Condition": condition}, request_of(SESSION))
    assert not allows({"Condition": {"ArnEquals": {"aws:PrincipalArn": SESSION}}}, request_of(SESSION))


@pytest.mark.parametrize("action", ["S3:getobject", "s3:Get*", "s3:GetObjec?", "*"])
def test_actions_are_compared_without_case(action: str) -> None:
    assert allows({"Action": action}, request_of())
    assert not allows({"Action": None, "NotAction": action}, request_of())


@pytest.mark.parametrize(
    ("principal", "caller", "expected"),
    [
        ("*", ANN, True),
        ({"AWS": "*"}, ANN, True),
        ({"AWS": ACCOUNT}, ANN, True),
        ({"AWS": OTHER}, ANN, False),
        ({"AWS": ROOT}, SESSION, True),
        ({"AWS": [OTHER, ANN]}, ANN, True),
        ({"AWS": ANN}, ANN + "a", False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/*"}, ANN, False),
        ({"AWS": ANN.upper()}, ANN, False),
        ({"AWS": ROLE}, SESSION, True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/worker"}, SESSION, False),
        ({"AWS": SESSION}, SESSION, True),
        ({"AWS": SESSION}, SESSION + "2", False),
        ({"AWS": ROLE}, f"arn:aws:sts::{OTHER}:assumed-role/worker/now", False),
        ({"Service": "s3.amazonaws.com"}, ANN, False),
    ],
)
def test_a_principal_is_the_caller(principal: object, caller: str, expected: bool) -> None:
    policy = document({"Principal": principal, "Resource": "*"})
    decision = statements._evaluate_resource_policy(policy, request_of(caller)).decision
    assert (decision == "Allow") is expected


@pytest.mark.parametrize(
    ("excepted", "caller", "denied"),
    [
        ({"AWS": [ROOT, ANN]}, ANN, False),
        ({"AWS": [ACCOUNT, ANN]}, ANN, False),
        ({"AWS": [ROOT, ANN]}, f"arn:aws:iam::{ACCOUNT}:user/bob", True),
        ({"AWS": ANN}, ANN, True),
        ({"AWS": ROOT}, ANN, True),
        ({"AWS": [ROOT, ROLE, SESSION]}, SESSION, False),
        ({"AWS": [ROOT, ROLE]}, SESSION, True),
        ({"AWS": [ROOT, ROLE, SESSION]}, ANN, True),
        ({"AWS": f"arn:aws:iam::{OTHER}:root"}, ANN, True),
        ({"Service": "s3.amazonaws.com"}, ANN, True),
    ],
)
def test_a_deny_with_not_principal_exempts_only_who_is_named_on_each_level(
    excepted: object, caller: str, denied: bool
) -> None:
    policy = document({"Effect": "Deny", "NotPrincipal": excepted, "Resource": "*"})
    decision = statements._evaluate_resource_policy(policy, request_of(caller)).decision
    assert (decision == "Deny") is denied


def test_a_deny_with_not_principal_exempts_services_that_it_names() -> None:
    policy = document(
        {"Principal": "*", "Resource": "*"},
        {"Effect": "Deny", "NotPrincipal": {"Service": "s3.amazonaws.com"}, "Resource": "*"},
    )
    caller = request_of("*")
    for service, decision in (("s3.amazonaws.com", "Allow"), ("sns.amazonaws.com", "Deny")):
        assert statements._evaluate_resource_policy(policy, caller, service).decision == decision


# -- On the embedded AWS


def test_users_reach_their_own_folder(local_aws: LocalAws) -> None:
    bucket = f"folders-{uuid.uuid4().hex[:8]}"
    local_aws.client("s3").create_bucket(Bucket=bucket)
    session = session_of(local_aws, ("s3:PutObject", f"arn:aws:s3:::{bucket}/home/${{aws:username}}/*"))
    name = session.client("sts").get_caller_identity()["Arn"].rpartition("/")[2]
    session.client("s3").put_object(Bucket=bucket, Key=f"home/{name}/two\nlines")
    with pytest.raises(ClientError, match="AccessDenied"):
        session.client("s3").put_object(Bucket=bucket, Key="home/other/x")


def denying_all_but(account: str, user: str, resource: str, action: str) -> str:
    excepted = {"AWS": [f"arn:aws:iam::{account}:root", user]}
    denied = {"Effect": "Deny", "NotPrincipal": excepted, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [denied]})


@pytest.mark.parametrize("service", ["s3", "sqs", "sns", "secretsmanager"])
def test_a_deny_with_not_principal_in_a_resources_policy(local_aws: LocalAws, service: str) -> None:
    name, account = f"r-{uuid.uuid4().hex[:8]}", local_aws.account
    everything = [(f"{service}:*", "*")]
    ann, bob = session_of(local_aws, *everything), session_of(local_aws, *everything)
    user = ann.client("sts").get_caller_identity()["Arn"]
    client = local_aws.client(service)
    if service == "s3":
        client.create_bucket(Bucket=name)
        statement = denying_all_but(account, user, f"arn:aws:s3:::{name}/*", "s3:PutObject")
        client.put_bucket_policy(Bucket=name, Policy=statement)
        call, arguments = "put_object", {"Bucket": name, "Key": "x"}
    elif service == "sqs":
        url = client.create_queue(QueueName=name)["QueueUrl"]
        arn = f"arn:aws:sqs:us-east-1:{account}:{name}"
        statement = denying_all_but(account, user, arn, "sqs:SendMessage")
        client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": statement})
        call, arguments = "send_message", {"QueueUrl": url, "MessageBody": "x"}
    elif service == "sns":
        arn = client.create_topic(Name=name)["TopicArn"]
        statement = denying_all_but(account, user, arn, "sns:Publish")
        client.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=statement)
        call, arguments = "publish", {"TopicArn": arn, "Message": "x"}
    else:
        arn = client.create_secret(Name=name, SecretString="x")["ARN"]
        statement = denying_all_but(account, user, "*", "secretsmanager:GetSecretValue")
        client.put_resource_policy(SecretId=arn, ResourcePolicy=statement)
        call, arguments = "get_secret_value", {"SecretId": arn}
    getattr(ann.client(service), call)(**arguments)
    with pytest.raises(ClientError, match=r"AccessDenied|AuthorizationError"):
        getattr(bob.client(service), call)(**arguments)


def trusting(aws: LocalAws, statement: dict[str, Any]) -> str:
    """A role that trusts as a statement says."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"} | statement],
    }
    created = aws.client("iam").create_role(
        RoleName=f"role-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument=json.dumps(policy)
    )
    return str(created["Role"]["Arn"])


def may_assume(session: Any, role: str, **more: str) -> bool:
    try:
        session.client("sts").assume_role(RoleArn=role, RoleSessionName="test", **more)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def test_a_trust_policy_that_names_a_user_is_enough(local_aws: LocalAws) -> None:
    ann, bob = session_of(local_aws), session_of(local_aws)
    user = ann.client("sts").get_caller_identity()["Arn"]
    role = trusting(local_aws, {"Principal": {"AWS": user}})
    assert may_assume(ann, role)
    assert not may_assume(bob, role)
    assert not may_assume(ann, trusting(local_aws, {"Principal": {"AWS": local_aws.account}}))


def test_a_trust_policys_conditions_hold_for_who_is_named(local_aws: LocalAws) -> None:
    ann = session_of(local_aws)
    user = ann.client("sts").get_caller_identity()["Arn"]
    condition = {"StringEquals": {"sts:ExternalId": "secret"}}
    role = trusting(local_aws, {"Principal": {"AWS": user}, "Condition": condition})
    assert not may_assume(ann, role)
    assert may_assume(ann, role, ExternalId="secret")


def test_a_trust_policy_may_name_a_role_or_one_of_its_sessions(local_aws: LocalAws) -> None:
    first = trusting(local_aws, {"Principal": {"AWS": f"arn:aws:iam::{local_aws.account}:root"}})
    session = assumed(local_aws, first)
    arn = session.client("sts").get_caller_identity()["Arn"]
    assert may_assume(session, trusting(local_aws, {"Principal": {"AWS": first}}))
    assert may_assume(session, trusting(local_aws, {"Principal": {"AWS": arn}}))
    assert not may_assume(session, trusting(local_aws, {"Principal": {"AWS": arn + "2"}}))


def test_an_identity_policys_deny_wins_over_the_trust_policy(local_aws: LocalAws) -> None:
    ann = session_of(local_aws)
    user = ann.client("sts").get_caller_identity()["Arn"]
    role = trusting(local_aws, {"Principal": {"AWS": user}})
    denied = {"Effect": "Deny", "Action": "sts:AssumeRole", "Resource": role}
    local_aws.client("iam").put_user_policy(
        UserName=user.rpartition("/")[2],
        PolicyName="deny",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [denied]}),
    )
    assert not may_assume(ann, role)


# -- On the emulator as it comes


def test_still_needed_the_emulator_has_no_variables_in_resources(stock_aws: LocalAws) -> None:
    stock_aws.client("s3").create_bucket(Bucket="folders")
    session = session_of(stock_aws, ("s3:PutObject", "arn:aws:s3:::folders/home/${aws:username}/*"))
    name = session.client("sts").get_caller_identity()["Arn"].rpartition("/")[2]
    with pytest.raises(ClientError, match="AccessDenied"):
        session.client("s3").put_object(Bucket="folders", Key=f"home/{name}/x")
