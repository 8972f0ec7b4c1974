"""What every scenario uses: the deployed stack, waiting, the story and faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from scenarios.framework import (
    DeployedStack,
    NotYet,
    ScenarioFailed,
    StackNotFound,
    Story,
    require,
    wait_until,
)
from scenarios.support.faults import Faults

_TEMPLATE = {
    "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    "Outputs": {"QueueUrl": {"Value": {"Ref": "Queue"}}},
}
_TWO = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::photos/*"}
_ONE = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::films/*"}


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.Session("testing", "testing", region_name="eu-west-1")


def test_waiting_returns_the_result_of_the_check_as_soon_as_there_is_one() -> None:
    answers = iter([NotYet("1 of 2"), NotYet("1 of 2"), None])

    def check() -> str:
        answer = next(answers)
        if answer:
            raise answer
        return "both"

    assert wait_until(check, what="two rows", timeout=5) == "both"


def test_the_error_after_a_deadline_says_what_was_last_seen() -> None:
    def check() -> None:
        raise NotYet("1 of 2")

    with pytest.raises(ScenarioFailed, match=r"two rows: not within 0.01 s; last seen: 1 of 2"):
        wait_until(check, what="two rows", timeout=0.01)


def test_an_error_in_the_check_ends_the_wait_at_once() -> None:
    def check() -> None:
        raise ScenarioFailed("wrong")

    with pytest.raises(ScenarioFailed, match="wrong"):
        wait_until(check, what="two rows", timeout=60)


def test_an_unmet_requirement_fails_with_its_message() -> None:
    require(True, "not shown")
    with pytest.raises(ScenarioFailed, match="two rows, not one"):
        require(False, "two rows, not one")


def test_a_story_is_reported_as_it_happens_and_collected() -> None:
    reported: list[str] = []
    story = Story("A title", reported.append)
    story.say("one")
    with story.timed("step"):
        story.say("two")
    outcome = story.outcome()
    assert reported == ["one", "two"] == list(outcome.story)
    assert outcome.timings["step"] >= 0


def test_a_stack_is_found_by_name_with_its_outputs(session: boto3.Session) -> None:
    session.client("cloudformation").create_stack(StackName="demo", TemplateBody=json.dumps(_TEMPLATE))
    stack = DeployedStack.find("demo", session)
    assert stack.output("QueueUrl").startswith("https://")
    with pytest.raises(ScenarioFailed, match="has no output TopicArn; its outputs: QueueUrl"):
        stack.output("TopicArn")


def test_the_error_for_a_missing_stack_names_the_region(session: boto3.Session) -> None:
    with pytest.raises(StackNotFound, match="demo: not found in region eu-west-1"):
        DeployedStack.find("demo", session)


@pytest.fixture
def faults(session: boto3.Session) -> Faults:
    iam: Any = session.client("iam")
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument="{}")
    document = {"Version": "2012-10-17", "Statement": [_TWO, _ONE]}
    iam.put_role_policy(RoleName="worker", PolicyName="own", PolicyDocument=json.dumps(document))
    return Faults(session)


def _statements(session: boto3.Session) -> Any:
    iam: Any = session.client("iam")
    return iam.get_role_policy(RoleName="worker", PolicyName="own")["PolicyDocument"]["Statement"]


def test_each_action_of_each_statement_is_a_separate_grant(faults: Faults) -> None:
    assert [(grant.statement, grant.action) for grant in faults.grants("worker")] == [
        (0, "s3:GetObject"),
        (0, "s3:PutObject"),
        (1, "s3:GetObject"),
    ]


def test_a_grant_is_removed_while_the_body_runs_and_restored_afterwards(
    faults: Faults, session: boto3.Session
) -> None:
    with faults.without(faults.grants("worker")[0]):
        assert _statements(session) == [
            {**_TWO, "Action": ["s3:PutObject"]},
            _ONE | {"Action": ["s3:GetObject"]},
        ]
    assert _statements(session) == [_TWO, _ONE]


def test_a_permission_is_removed_from_every_statement_that_grants_it(
    faults: Faults, session: boto3.Session
) -> None:
    with faults.without_permission("worker", "s3:GetObject"):
        assert _statements(session) == [{**_TWO, "Action": ["s3:PutObject"]}]


def test_a_policy_without_statements_is_deleted_and_restored(faults: Faults, session: boto3.Session) -> None:
    iam: Any = session.client("iam")
    with faults.without(*faults.grants("worker")):
        assert iam.list_role_policies(RoleName="worker")["PolicyNames"] == []
    assert _statements(session) == [_TWO, _ONE]


def test_a_permission_is_restored_when_the_body_fails(faults: Faults, session: boto3.Session) -> None:
    with pytest.raises(ScenarioFailed), faults.without_permission("worker", "s3:PutObject"):
        raise ScenarioFailed("on purpose")
    assert _statements(session) == [_TWO, _ONE]


def test_removing_a_permission_that_the_role_does_not_have_is_an_error(faults: Faults) -> None:
    with (
        pytest.raises(ScenarioFailed, match="has no permission sqs:SendMessage"),
        faults.without_permission("worker", "sqs:SendMessage"),
    ):
        pass
