"""A function of another account needs both policies; within an account, one of them is enough."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, zipped
from localaws import LocalAws
from localaws.services.lambda_.references import FunctionReference

OTHER = "222222222222"
INVOKE = "lambda:InvokeFunction"
ECHO = "def handler(event, context): return [event, context.invoked_function_arn]"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}

local = pytest.mark.local


class Shared:
    """A function with an alias, and callers in the same and in another account."""

    def __init__(self, functions: Functions) -> None:
        self.functions, self.aws = functions, functions.aws
        self.lambda_ = self.aws.client("lambda")
        self.name = functions.make(ECHO)
        version = self.lambda_.publish_version(FunctionName=self.name)["Version"]
        self.lambda_.create_alias(FunctionName=self.name, Name="live", FunctionVersion=version)
        self.arn = functions.arn("lambda", f"function:{self.name}")
        self.live = f"{self.arn}:live"
        self.role = ""  # of the newest caller

    def allow(self, principal: str, *, qualifier: str = "live", **more: str) -> str:
        """Add a statement to the resource-based policy of the alias; returns its id."""
        sid = f"s{uuid.uuid4().hex}"
        named = {"Qualifier": qualifier} if qualifier else {}
        self.lambda_.add_permission(
            FunctionName=self.name, StatementId=sid, Action=INVOKE, Principal=principal, **named, **more
        )
        return sid

    def forbid(self, sid: str) -> None:
        """Remove that statement."""
        self.lambda_.remove_permission(FunctionName=self.name, StatementId=sid, Qualifier="live")

    def caller(self, account: str, resource: str = "", action: str = INVOKE) -> Any:
        """A client for Lambda of a new role in an account, that may do an action on a resource."""
        session = self.aws.session_of(account)
        iam, name = session.client("iam"), f"caller-{uuid.uuid4().hex[:8]}"
        trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        self.role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        if resource:
            own = {"Effect": "Allow", "Action": action, "Resource": resource}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [own]})
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
        given = session.client("sts").assume_role(RoleArn=self.role, RoleSessionName="now")["Credentials"]
        return session.client(
            "lambda",
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest.fixture
def shared(functions: Functions) -> Shared:
    return Shared(functions)


def error(call: Callable[[], object]) -> tuple[str, int, str]:
    """Code, status and message of the error that a call ends with."""
    with pytest.raises(ClientError) as raised:
        call()
    answer = raised.value.response
    return (
        answer["Error"]["Code"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
        answer["Error"]["Message"],
    )


def invoked(client: Any, function: str, **more: Any) -> Any:
    return json.load(client.invoke(FunctionName=function, Payload=b'{"a": 1}', **more)["Payload"])


@local
def test_another_account_needs_the_identity_policy_and_the_resource_policy(shared: Shared) -> None:
    client = shared.caller(OTHER, shared.live)
    code, status, message = error(lambda: invoked(client, shared.live))
    assert (code, status) == ("AccessDeniedException", 403)
    assert f"is not authorized to perform: {INVOKE} on resource: {shared.live} because no " in message
    assert message.endswith(f"resource-based policy allows the {INVOKE} action")
    sid = shared.allow(OTHER)
    assert invoked(client, shared.live) == [{"a": 1}, shared.live]
    without = shared.caller(OTHER)
    message = error(lambda: invoked(without, shared.live))[2]
    assert message.endswith(f"because no identity-based policy allows the {INVOKE} action")
    shared.forbid(sid)
    assert error(lambda: invoked(client, shared.live))[0] == "AccessDeniedException"


@local
def test_within_the_account_either_policy_is_enough(shared: Shared) -> None:
    assert invoked(shared.caller(shared.aws.account, shared.live), shared.live)
    client = shared.caller(shared.aws.account)
    assert error(lambda: invoked(client, shared.live))[0] == "AccessDeniedException"
    shared.allow(shared.role)
    assert invoked(client, shared.live)


@local
@pytest.mark.parametrize("kind", ["Event", "DryRun"])
def test_every_kind_of_invocation_is_authorized(shared: Shared, kind: str) -> None:
    client = shared.caller(OTHER, shared.live)
    assert error(lambda: client.invoke(FunctionName=shared.live, InvocationType=kind))[1] == 403
    shared.allow(OTHER)
    answer = client.invoke(FunctionName=shared.live, InvocationType=kind)
    assert answer["StatusCode"] == {"Event": 202, "DryRun": 204}[kind]


@local
def test_a_permission_on_the_alias_is_for_no_other_qualifier(shared: Shared) -> None:
    client = shared.caller(OTHER, f"{shared.arn}*")
    shared.allow(OTHER)
    for other in (shared.arn, f"{shared.arn}:1", f"{shared.arn}:none"):
        assert error(partial(invoked, client, other))[1] == 403
    assert invoked(client, shared.arn, Qualifier="live")
    partial_arn = f"{shared.aws.account}:function:{shared.name}:live"
    assert invoked(client, partial_arn)[1] == shared.live
    assert invoked(shared.lambda_, partial_arn)[1] == shared.live


@local
def test_the_root_user_of_another_account_needs_the_resource_policy(shared: Shared) -> None:
    root = shared.aws.session_of(OTHER).client("lambda")
    assert error(lambda: invoked(root, shared.live))[0] == "AccessDeniedException"
    shared.allow(OTHER)
    assert invoked(root, shared.live)
    third = shared.aws.session_of("333333333333").client("lambda")
    assert error(lambda: invoked(third, shared.live))[1] == 403


@local
def test_a_function_of_the_same_name_in_the_callers_account_is_another_one(shared: Shared) -> None:
    shared.caller(OTHER, "*")
    theirs = shared.aws.session_of(OTHER)
    theirs.client("iam").update_assume_role_policy(
        RoleName=shared.role.rpartition("/")[2], PolicyDocument=json.dumps(TRUST)
    )
    client = theirs.client("lambda")
    client.create_function(
        FunctionName=shared.name,
        Role=shared.role,
        Code={"ZipFile": zipped({"index.py": "def handler(event, context): return 'theirs'"})},
        Runtime="python3.13",
        Handler="index.handler",
    )
    client.add_permission(FunctionName=shared.name, StatementId="a", Action=INVOKE, Principal=OTHER)
    caller = shared.caller(OTHER, "*")
    assert error(lambda: invoked(caller, shared.arn))[1] == 403
    assert invoked(caller, shared.name) == "theirs"


@local
def test_what_does_not_exist_is_not_revealed_and_another_region_is_not_reached(shared: Shared) -> None:
    client = shared.caller(OTHER, "*")
    missing = shared.functions.arn("lambda", "function:missing")
    assert error(lambda: invoked(client, missing))[0] == "AccessDeniedException"
    elsewhere = shared.arn.replace(shared.aws.region, "eu-west-3")
    code, status, message = error(lambda: invoked(shared.lambda_, elsewhere))
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert message == f"Functions from 'eu-west-3' are not reachable in this region ('{shared.aws.region}')"


@local
def test_logs_stay_in_their_account_and_only_the_listed_operations_cross(shared: Shared) -> None:
    client = shared.caller(OTHER, f"{shared.arn}*", "lambda:*")
    shared.allow(OTHER)
    refused = error(lambda: invoked(client, shared.live, LogType="Tail"))
    assert refused == ("AccessDeniedException", 403, "Cross-account log access is not allowed")
    shared.lambda_.add_permission(
        FunctionName=shared.name, StatementId="all", Action="lambda:*", Principal=OTHER
    )
    assert client.get_function_configuration(FunctionName=shared.arn)["FunctionArn"] == shared.arn
    settings = {"FunctionName": shared.arn, "MemorySize": 256}
    assert error(lambda: client.update_function_configuration(**settings))[1] in (403, 404)


@local
def test_an_organisation_admits_its_members_only(shared: Shared) -> None:
    organizations = shared.aws.client("organizations")
    own = organizations.create_organization(FeatureSet="ALL")["Organization"]["Id"]
    made = organizations.create_account(Email="a@example.com", AccountName="a")["CreateAccountStatus"]
    member = made["AccountId"]
    shared.allow("*", PrincipalOrgID=own)
    assert invoked(shared.caller(member, shared.live), shared.live)
    assert error(lambda: invoked(shared.caller(OTHER, shared.live), shared.live))[1] == 403
    assert error(lambda: invoked(shared.caller(member), shared.live))[1] == 403
    entered = shared.aws.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole", RoleSessionName="now"
    )
    assert f"::{member}:" in entered["AssumedRoleUser"]["Arn"]
    again = error(lambda: organizations.create_organization(FeatureSet="ALL"))[0]
    assert again == "AlreadyInOrganizationException"


@local
def test_still_needed(stock_aws: LocalAws) -> None:
    shared = Shared(Functions(stock_aws))
    root = stock_aws.session_of(OTHER).client("lambda")
    assert error(lambda: invoked(root, shared.live))[0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f", ("f", "", "", "")),
        ("f:live", ("f", "live", "", "")),
        ("function:f:live", ("f", "live", "", "")),
        ("123456789012:function:f", ("f", "", "123456789012", "")),
        ("us-east-1:123456789012:function:f:1", ("f", "1", "123456789012", "us-east-1")),
        ("arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f:$LATEST", None),
        ("arn:aws:sqs:us-east-1:123456789012:f", "none"),
        ("", "none"),
    ],
)
def test_each_form_of_a_reference_is_read(text: str, expected: Any) -> None:
    found = FunctionReference.parse(text)
    if expected == "none":
        assert found is None
    elif expected is None:
        assert found == FunctionReference("f", "$LATEST", "123456789012", "us-gov-west-1")
    else:
        assert found == FunctionReference(*expected)
