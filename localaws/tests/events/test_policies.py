"""The policy of an event bus, and events from other accounts."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Queue
from helpers.refusals import Row, check, ids
from helpers.stacks import DeploymentFailedError, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

OTHER, THIRD = "222222222222", "333333333333"
PUT = "events:PutEvents"
INVALID = "ValidationException"


class Bus:
    """A bus with a rule for everything, to a queue."""

    def __init__(self, functions: Functions) -> None:
        self.aws, self.events = functions.aws, functions.aws.client("events")
        self.name = f"bus-{uuid.uuid4().hex[:8]}"
        self.arn = self.events.create_event_bus(Name=self.name)["EventBusArn"]
        self.queue = functions.queue(writable_by="events.amazonaws.com")
        pattern = json.dumps({"source": [{"prefix": ""}]})
        self.events.put_rule(Name=self.name, EventBusName=self.name, EventPattern=pattern)
        targets = [{"Id": "1", "Arn": self.queue.arn}]
        self.events.put_targets(Rule=self.name, EventBusName=self.name, Targets=targets)

    def permit(self, **statement: Any) -> None:
        """Add a statement to its policy."""
        self.events.put_permission(EventBusName=self.name, StatementId="s", Action=PUT, **statement)

    def statements(self) -> list[dict[str, Any]]:
        """What its policy has."""
        policy = self.events.describe_event_bus(Name=self.name).get("Policy")
        found: list[dict[str, Any]] = json.loads(policy)["Statement"] if policy else []
        return found


@pytest.fixture
def bus(functions: Functions) -> Bus:
    return Bus(functions)


def role_in(aws: LocalAws, account: str, resource: str = "", *, service: str = "") -> str:
    """A role of an account that may put events into a bus, for its own account or for a service."""
    iam, name = aws.session_of(account).client("iam"), f"sender-{uuid.uuid4().hex[:8]}"
    principal = {"Service": service} if service else {"AWS": account}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    if resource:
        own = {"Effect": "Allow", "Action": PUT, "Resource": resource}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [own]})
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
    return arn


def caller_in(aws: LocalAws, account: str, resource: str = "") -> Any:
    """A client for EventBridge of a new role in an account."""
    session, role = aws.session_of(account), role_in(aws, account, resource)
    given = session.client("sts").assume_role(RoleArn=role, RoleSessionName="now")["Credentials"]
    return session.client(
        "events",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        config=Config(retries={"total_max_attempts": 1}),
    )


def put(client: Any, bus: str) -> str:
    """Put an event; returns the code of the error, if there is one."""
    entry = {"Source": "shop", "DetailType": "order", "Detail": "{}", "EventBusName": bus}
    try:
        client.put_events(Entries=[entry])
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def member_of_our_organization(aws: LocalAws) -> tuple[str, str]:
    client = aws.client("organizations")
    with contextlib.suppress(client.exceptions.AlreadyInOrganizationException):
        client.create_organization(FeatureSet="ALL")
    made = client.create_account(Email=f"{uuid.uuid4().hex}@example.com", AccountName="x")
    organization = client.describe_organization()["Organization"]["Id"]
    return organization, made["CreateAccountStatus"]["AccountId"]


def test_another_account_needs_the_identity_policy_and_the_policy_of_the_bus(bus: Bus) -> None:
    allowed, without = caller_in(bus.aws, OTHER, bus.arn), caller_in(bus.aws, OTHER)
    root = bus.aws.session_of(OTHER).client("events")
    assert [put(one, bus.arn) for one in (allowed, without, root)] == ["AccessDeniedException"] * 3
    bus.permit(Principal=OTHER)
    assert [put(one, bus.arn) for one in (allowed, without, root)] == ["", "AccessDeniedException", ""]
    event = bus.queue.wait_for_body()
    assert event["account"] == OTHER
    bus.events.remove_permission(EventBusName=bus.name, StatementId="s")
    assert put(allowed, bus.arn) == put(root, bus.arn) == "AccessDeniedException"


def test_a_condition_admits_the_accounts_of_the_organization_only(bus: Bus) -> None:
    organization, member = member_of_our_organization(bus.aws)
    condition = {"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": organization}
    bus.permit(Principal="*", Condition=condition)
    (statement,) = bus.statements()
    assert statement["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": organization}}
    assert put(caller_in(bus.aws, member, bus.arn), bus.arn) == ""
    assert put(caller_in(bus.aws, OTHER, bus.arn), bus.arn) == "AccessDeniedException"


def test_a_policy_of_the_bus_may_deny_the_accounts_own_roles(bus: Bus) -> None:
    own = caller_in(bus.aws, bus.aws.account, bus.arn)
    assert put(own, bus.name) == ""
    deny = {"Sid": "no", "Effect": "Deny", "Principal": "*", "Action": PUT, "Resource": bus.arn}
    bus.events.put_permission(
        EventBusName=bus.name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )
    assert bus.statements() == [deny]
    assert put(own, bus.name) == "AccessDeniedException"


def test_a_bus_of_another_account_that_does_not_exist_is_not_revealed(bus: Bus) -> None:
    missing = bus.arn.replace(bus.name, "missing")
    assert put(caller_in(bus.aws, OTHER, missing), missing) == "AccessDeniedException"


REFUSED: list[Row] = [
    ("put_permission", {"Principal": "*", "StatementId": "s"}, INVALID, "Action must be specified"),
    ("put_permission", {"Action": PUT, "StatementId": "s"}, INVALID, "Principal must be specified"),
    (
        "put_permission",
        {"Action": "events:PutRule", "Principal": "*", "StatementId": "s"},
        INVALID,
        "Provided value in parameter 'action' is not supported.",
    ),
    ("put_permission", {"Action": PUT, "Principal": "12", "StatementId": "s"}, INVALID, "at 'principal'"),
    (
        "put_permission",
        {
            "Action": PUT,
            "Principal": "*",
            "StatementId": "s",
            "Condition": {"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": "nonsense"},
        },
        INVALID,
        "nonsense is not the ID of an organization",
    ),
    (
        "put_permission",
        {
            "Action": PUT,
            "Principal": OTHER,
            "StatementId": "s",
            "Condition": {"Type": "StringEquals", "Key": "aws:PrincipalOrgID", "Value": "o-1"},
        },
        INVALID,
        "must be '*' when the parameter 'condition' is set",
    ),
    (
        "put_permission",
        {"Action": PUT, "Principal": "*", "StatementId": "s", "EventBusName": "missing"},
        "ResourceNotFoundException",
        "Event bus missing does not exist.",
    ),
    ("remove_permission", {"StatementId": "s"}, "ResourceNotFoundException", "does not have a policy"),
    (
        "put_permission",
        {
            "Policy": json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {"Sid": str(n), "Effect": "Allow", "Principal": "*", "Action": PUT, "Resource": "*"}
                        for n in range(120)
                    ],
                }
            )
        },
        "PolicyLengthExceededException",
        "exceeds",
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_permission_is_refused(local_aws: LocalAws, row: Row) -> None:
    check(local_aws, "events", row)


def test_a_policy_in_a_template(bus: Bus) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": PUT, "Resource": bus.arn}
    properties: dict[str, Any] = {"EventBusName": bus.name, "StatementId": "one", "Statement": statement}
    resources = {"Policy": {"Type": "AWS::Events::EventBusPolicy", "Properties": properties}}
    bus.permit(Principal=THIRD)
    stack = deploy(bus.aws, resources, {"Ref": ref("Policy")})
    assert stack.outputs["Ref"] == f"{bus.name}|one"
    assert [one["Sid"] for one in bus.statements()] == ["s", "one"]
    properties["Statement"] = {**statement, "Principal": "*"}
    stack.update(resources)
    assert [one["Principal"] for one in bus.statements()][1] == "*"
    properties["StatementId"] = "two"
    stack.update(resources)
    assert [one["Sid"] for one in bus.statements()] == ["s", "two"]
    stack.delete()
    assert [one["Sid"] for one in bus.statements()] == ["s"]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"EventBusName": "missing"}, "Event bus missing does not exist"),
        ({"Statement": {"Effect": "Allow", "Action": PUT}}, "Principal"),
        ({"Statement": None, "Action": PUT, "Principal": "12"}, "at 'principal' failed"),
    ],
)
def test_a_policy_in_a_template_is_refused(local_aws: LocalAws, changed: dict[str, Any], text: str) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": PUT, "Resource": "*"}
    given = {"StatementId": "s", "Statement": statement, **changed}
    properties = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(DeploymentFailedError, match=text):
        deploy(local_aws, {"Policy": {"Type": "AWS::Events::EventBusPolicy", "Properties": properties}})


# --- Rules that send to a bus of another account


def forward(bus: Bus, account: str, role: str, dead_letters: Queue | None = None) -> str:
    """A bus of an account with a rule that sends everything to this one."""
    events, own, name = bus.aws.session_of(account).client("events"), f"own-{bus.name}", f"to-{bus.name}"
    events.create_event_bus(Name=own)
    pattern = json.dumps({"source": ["shop"]})
    events.put_rule(Name=name, EventBusName=own, EventPattern=pattern)
    target: dict[str, Any] = {"Id": "1", "Arn": bus.arn, "RoleArn": role}
    if dead_letters:
        target["DeadLetterConfig"] = {"Arn": dead_letters.arn}
    events.put_targets(Rule=name, EventBusName=own, Targets=[target])
    return own


def test_a_rule_of_another_account_sends_with_its_role(bus: Bus) -> None:
    role = role_in(bus.aws, OTHER, bus.arn, service="events.amazonaws.com")
    own = forward(bus, OTHER, role)
    sender = bus.aws.session_of(OTHER).client("events")
    assert put(sender, own) == ""  # not allowed yet
    bus.permit(Principal=OTHER)
    assert put(sender, own) == ""
    assert bus.queue.wait_for_body()["account"] == OTHER
    assert bus.queue.receive() == []  # the first one was lost


@pytest.mark.parametrize(
    ("service", "on_bus", "code"),
    [
        ("lambda.amazonaws.com", True, "FAILED_TO_ASSUME_ROLE"),
        ("events.amazonaws.com", False, "NO_PERMISSIONS"),
    ],
)
def test_a_rule_needs_a_role_that_may(functions: Functions, service: str, on_bus: bool, code: str) -> None:
    bus = Bus(functions)
    dead_letters = functions.queue(writable_by="events.amazonaws.com")
    role = role_in(bus.aws, bus.aws.account, bus.arn if on_bus else "", service=service)
    assert put(bus.events, forward(bus, bus.aws.account, role, dead_letters)) == ""
    assert dead_letters.wait()["MessageAttributes"]["ERROR_CODE"]["StringValue"] == code


def test_an_event_from_another_account_goes_to_no_third_one(functions: Functions) -> None:
    middle = Bus(functions)
    middle.permit(Principal=OTHER)
    arn = f"arn:aws:events:us-east-1:{THIRD}:event-bus/last"
    third = middle.aws.session_of(THIRD).client("events")
    third.create_event_bus(Name="last")
    third.put_permission(EventBusName="last", StatementId="s", Action=PUT, Principal=middle.aws.account)
    dead_letters = functions.queue(writable_by="events.amazonaws.com")
    role = role_in(middle.aws, middle.aws.account, arn, service="events.amazonaws.com")
    target = {"Id": "2", "Arn": arn, "RoleArn": role, "DeadLetterConfig": {"Arn": dead_letters.arn}}
    middle.events.put_targets(Rule=middle.name, EventBusName=middle.name, Targets=[target])
    assert put(middle.events, middle.name) == ""  # our own event does
    assert put(caller_in(middle.aws, OTHER, middle.arn), middle.arn) == ""
    found = dead_letters.wait()["MessageAttributes"]
    assert found["ERROR_CODE"]["StringValue"] == "THIRD_ACCOUNT_HOP_DETECTED"
    assert dead_letters.receive() == []


def test_a_queue_of_another_account_is_reached_with_the_role_of_the_target(functions: Functions) -> None:
    queue = functions.queue(writable_by="events.amazonaws.com")
    sender = functions.aws.session_of(OTHER)
    name = f"to-{queue.name}"
    iam = sender.client("iam")
    role = role_in(functions.aws, OTHER, service="events.amazonaws.com")
    own = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue.arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [own]})
    iam.put_role_policy(RoleName=role.rpartition("/")[2], PolicyName="own", PolicyDocument=document)
    allow = {
        "Effect": "Allow",
        "Principal": {"AWS": role},
        "Action": "sqs:SendMessage",
        "Resource": queue.arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    functions.aws.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": policy})
    events = sender.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": ["shop"]}))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": queue.arn, "RoleArn": role}])
    assert put(events, "default") == ""
    assert queue.wait_for_body()["account"] == OTHER
