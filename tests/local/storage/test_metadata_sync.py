"""Metadata of two buckets, deployed with the real CDK CLI and driven with real events, IAM enforced."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack, NotYet, ScenarioFailed, wait_until
from scenarios.storage import metadata_sync
from scenarios.storage.metadata_bucket import SyncedBucket
from scenarios.storage.metadata_traffic import put
from scenarios.storage.metadata_truth import differences
from scenarios.support.faults import Faults
from tasks.demo import check_dropped
from tests.local.least_privilege import superfluous, try_without_each
from tests.local.least_privilege_at_deployment import superfluous_at_deployment

pytestmark = pytest.mark.local

BOTH = ["", "Relational"]


def leftovers(stack: DeployedStack) -> list[str]:
    """What is in the buckets, in the tables and in the queues."""
    s3, found = stack.client("s3"), dict[str, list[object]]()
    for which in BOTH:
        bucket = SyncedBucket(stack, which)
        versions = s3.list_object_versions(Bucket=bucket.bucket)
        assert bucket.table is not None
        found |= {
            f"{which} versions": versions.get("Versions", []) + versions.get("DeleteMarkers", []),
            f"{which} rows": list(bucket.table.rows("run-")),
            f"{which} messages": stack.client("sqs")
            .receive_message(QueueUrl=bucket.queue_url, VisibilityTimeout=0)
            .get("Messages", []),
        }
    return [f"left behind: {kind}: {things}" for kind, things in found.items() if things]


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), metadata_sync.ACCEPTED_NOT_EMULATED)


def test_both_tables_say_what_is_in_the_buckets_and_nothing_is_left_behind(stack: DeployedStack) -> None:
    outcome = metadata_sync.run(stack)
    story = " ".join(outcome.story)
    assert story.count("says what is in the bucket") == 2
    assert story.count("nothing changed") == 2
    assert story.count("InvalidRecord") == 2
    assert leftovers(stack) == []


def test_what_events_missed_is_repaired_and_what_failed_is_redriven(
    stack: DeployedStack, faults: Faults
) -> None:
    outcome = metadata_sync.drill(stack, faults)
    assert sum("20 missing, 25 outdated and 15 superfluous" in line for line in outcome.story) == 2
    assert any("after 3 attempts" in line for line in outcome.story)
    assert any("NO_PERMISSIONS" in line for line in outcome.story)
    assert leftovers(stack) == []


def test_a_table_that_lies_is_noticed(stack: DeployedStack) -> None:
    """What the scenario compares with is not what the functions say."""
    with SyncedBucket(stack) as bucket:
        key = f"{bucket.prefix}object"
        put(stack.client("s3"), bucket.bucket, key, "a")
        bucket.wait_until_true()
        with bucket.silenced():
            stack.client("s3").put_object_tagging(
                Bucket=bucket.bucket, Key=key, Tagging={"TagSet": [{"Key": "new", "Value": "tag"}]}
            )
            [found] = differences(bucket.objects(), bucket.rows())
        assert "tags is {'new': 'tag'}" in found


# --- Least privilege: each role of the stack, each grant


def which_of(role_of: str) -> str:
    return "Relational" if role_of.startswith("Relational") else ""


@pytest.mark.full
@pytest.mark.parametrize("role_of", ["FunctionName", "ReconcilerName"])
def test_a_role_in_front_of_dynamodb_needs_every_grant_and_a_planted_one_is_found(
    stack: DeployedStack, role_of: str
) -> None:
    check_grants(stack, role_of, "dynamodb:Scan")


@pytest.mark.full
@pytest.mark.parametrize("role_of", ["RelationalFunctionName", "RelationalReconcilerName"])
def test_a_role_in_front_of_postgresql_needs_every_grant_and_a_planted_one_is_found(
    stack: DeployedStack, role_of: str
) -> None:
    check_grants(stack, role_of, "rds:DescribeDBInstances", new_instances=True)


def check_grants(stack: DeployedStack, role_of: str, planted: str, *, new_instances: bool = False) -> None:
    smoke: Callable[..., None] = (
        metadata_sync.smoke_of_reconciler if "Reconciler" in role_of else metadata_sync.smoke
    )
    findings = try_without_each(
        stack,
        stack.output(role_of),
        partial(smoke, which=which_of(role_of)),
        plant=planted,
        new_instances=new_instances,
    )
    assert len(findings) > 3
    # The reconciler's is for a tick that failed, and has a test of its own.
    needed_by_failures = {"sqs:SendMessage"} if "Reconciler" in role_of else set[str]()
    assert {grant.action for grant in superfluous(findings)} == {planted} | needed_by_failures


@pytest.mark.full
def test_a_tick_that_failed_is_kept_if_the_role_may_send_it(stack: DeployedStack, faults: Faults) -> None:
    bucket = SyncedBucket(stack)
    where = {"FunctionName": bucket.reconciler, "Qualifier": "$LATEST"}
    config = stack.client("lambda").get_function_event_invoke_config(**where)
    queue = config["DestinationConfig"]["OnFailure"]["Destination"].rpartition(":")[2]
    url = stack.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"]
    role = stack.client("lambda").get_function_configuration(FunctionName=bucket.reconciler)["Role"]

    def kept() -> str:
        answer = stack.client("sqs").receive_message(QueueUrl=url, VisibilityTimeout=0)
        for message in answer.get("Messages", []):
            stack.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return str(message["Body"])
        raise NotYet("nothing")

    def fail() -> str:
        stack.client("lambda").invoke(FunctionName=bucket.reconciler, InvocationType="Event", Payload="{}")
        return wait_until(kept, what="a failed tick in the queue", timeout=10)

    with faults.environment(bucket.reconciler, TARGET="nothing"):
        with (
            faults.without_permission(role.rpartition("/")[2], "sqs:SendMessage"),
            pytest.raises(ScenarioFailed, match="not within 10 s; last seen: nothing"),
        ):
            fail()
        assert "give 'dynamodb' or 'postgres'" in fail()


@pytest.mark.full
@pytest.mark.parametrize("role_of", ["RelationalProxyName"])
def test_the_proxy_cannot_do_without_its_permission(stack: DeployedStack, role_of: str) -> None:
    proxy = stack.client("rds").describe_db_proxies(DBProxyName=stack.output(role_of))["DBProxies"][0]
    findings = try_without_each(
        stack,
        stack.output("RelationalFunctionName"),
        partial(metadata_sync.smoke, which="Relational"),
        role=proxy["RoleArn"].rpartition("/")[2],
        new_instances=True,
    )
    assert len(findings) == 1
    assert superfluous(findings) == []


@pytest.mark.full
@pytest.mark.parametrize("role_of", ["ScheduleName", "RelationalScheduleName"])
def test_a_schedule_cannot_do_without_its_permission(
    stack: DeployedStack, faults: Faults, role_of: str
) -> None:
    schedule = stack.client("scheduler").get_schedule(Name=stack.output(role_of))
    role = schedule["Target"]["RoleArn"].rpartition("/")[2]
    [grant] = faults.grants(role)
    assert grant.action == "lambda:InvokeFunction"
    hasty = DeployedStack(stack.name, stack.outputs, stack.session, patience=4)
    with faults.without(grant), pytest.raises(ScenarioFailed, match="in the bucket, and no row"):
        metadata_sync.smoke_of_schedule(hasty, which_of(role_of))
    metadata_sync.smoke_of_schedule(stack, which_of(role_of))


@pytest.mark.full
def test_the_roles_of_the_deployment_need_every_one_of_their_grants(stack: DeployedStack) -> None:
    found, tried = superfluous_at_deployment(stack)
    assert found == []
    assert tried > 0
