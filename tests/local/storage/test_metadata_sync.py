"""Rows of the objects of two buckets, deployed with the real CDK CLI, driven with real events, under IAM."""

from __future__ import annotations

import pytest

from scenarios.framework import DeployedStack, NotYet, Outcome, ScenarioFailed, wait_until
from scenarios.storage.metadata_sync.bucket import SyncedBucket
from scenarios.support.faults import Faults
from tests.local.database_users import FORBIDDEN, allowed

pytestmark = pytest.mark.local


def test_both_tables_agree_with_their_buckets_and_old_events_change_nothing(outcome: Outcome) -> None:
    facts = outcome.facts
    for kind in ("versioned", "unversioned"):
        # 15 of 60 objects are deleted; 5 of these are overwritten at the same time, and may remain.
        objects, tombstones = int(facts[f"{kind}_objects"]), int(facts[f"{kind}_tombstones"])
        assert 45 <= objects <= 50
        # An object that was deleted before any of its events arrived gets its tombstone later.
        assert 0 < tombstones <= 60 - objects
        assert facts[f"{kind}_old_events"] == 8
        assert facts[f"{kind}_poison"] == "InvalidRecord"
        assert facts[f"{kind}_repaired"] == 0


def test_the_reconciler_repairs_what_events_missed_and_failed_events_are_redriven(drilled: Outcome) -> None:
    facts = drilled.facts
    for kind in ("versioned", "unversioned"):
        counts = tuple(facts[f"{kind}_{name}"] for name in ("missing", "outdated", "superfluous", "repaired"))
        assert counts == (20, 25, 15, 60)
        assert facts[f"{kind}_filled"] == 45
        assert facts[f"{kind}_restored_from"] == "GLACIER"
    assert facts["attempts"] == 3
    assert facts["not_delivered"] == "NO_PERMISSIONS"


def test_a_row_that_differs_is_noticed(stack: DeployedStack) -> None:
    """The scenario compares rows with the bucket, not with what the functions say."""
    with SyncedBucket(stack) as bucket:
        key = f"{bucket.prefix}object"
        bucket.put(key, "a")
        bucket.wait_until_true()
        with bucket.silenced():
            bucket.s3.put_object_tagging(
                Bucket=bucket.name, Key=key, Tagging={"TagSet": [{"Key": "new", "Value": "tag"}]}
            )
            [found] = bucket.differences()
        assert "tags is {'new': 'tag'}" in found


def test_the_functions_user_cannot_change_the_tables_of_postgresql(stack: DeployedStack) -> None:
    client = stack.client("lambda")
    function = client.get_function_configuration(FunctionName=stack.output("RelationalFunctionName"))
    variables = function["Environment"]["Variables"]
    statements = [*FORBIDDEN, "DROP TABLE objects", "ALTER TABLE objects ADD note text", "TRUNCATE objects"]
    assert allowed(stack, variables["DB_HOST"], variables["DB_USER"], statements) == []


@pytest.mark.full
def test_a_failed_invocation_by_the_schedule_is_in_the_queue_if_the_role_may_send_it(
    stack: DeployedStack, faults: Faults
) -> None:
    bucket = SyncedBucket(stack)
    where = {"FunctionName": bucket.reconciler, "Qualifier": "$LATEST"}
    config = stack.client("lambda").get_function_event_invoke_config(**where)
    queue = config["DestinationConfig"]["OnFailure"]["Destination"].rpartition(":")[2]
    url = stack.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"]
    role = stack.client("lambda").get_function_configuration(FunctionName=bucket.reconciler)["Role"]

    def received() -> str:
        answer = stack.client("sqs").receive_message(QueueUrl=url, VisibilityTimeout=0)
        for message in answer.get("Messages", []):
            stack.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return str(message["Body"])
        raise NotYet("nothing")

    def fail(seconds: int) -> str:
        stack.client("lambda").invoke(FunctionName=bucket.reconciler, InvocationType="Event", Payload="{}")
        return wait_until(received, what="a failed invocation in the queue", timeout=seconds)

    with faults.environment(bucket.reconciler, TARGET="nothing"):
        with (
            faults.without_permission(role.rpartition("/")[2], "sqs:SendMessage"),
            pytest.raises(ScenarioFailed, match="not within 10 s; last seen: nothing"),
        ):
            fail(10)
        assert "give 'dynamodb' or 'postgres'" in fail(60)
