"""After a reset the account is as at the start, whatever was running."""

from __future__ import annotations

import json
import time

import pytest

from helpers.lambda_functions import eventually
from helpers.processes_of import invoke, leave_processes_behind, make_function
from localaws import LocalAws
from localaws.server import processes

pytestmark = pytest.mark.local

_HANGS = "import time\ndef handler(e, c): time.sleep(600)"


def _template(*, token: str) -> str:
    """A bucket that depends on a custom resource."""
    return json.dumps(
        {
            "Resources": {
                "Waits": {"Type": "Custom::Waits", "Properties": {"ServiceToken": token}},
                "Bucket": {"Type": "AWS::S3::Bucket", "DependsOn": "Waits"},
            }
        }
    )


def test_a_reset_empties_every_service(empty_aws: LocalAws) -> None:
    empty_aws.client("s3").create_bucket(Bucket="photos")
    empty_aws.client("sqs").create_queue(QueueName="failures")
    make_function(empty_aws, "def handler(e, c): return 1")
    empty_aws.reset()
    assert empty_aws.client("s3").list_buckets()["Buckets"] == []
    assert empty_aws.client("sqs").list_queues().get("QueueUrls", []) == []
    assert empty_aws.client("lambda").list_functions()["Functions"] == []
    assert empty_aws.client("iam").list_roles()["Roles"] == []


def test_a_reset_ends_every_worker_and_its_children(empty_aws: LocalAws) -> None:
    pids = leave_processes_behind(empty_aws)
    empty_aws.reset()
    eventually(lambda: not any(map(processes.is_alive, pids[2:])))
    assert [processes.is_alive(pid) for pid in pids] == [True, True, False, False, False]


def test_a_reset_ends_a_function_that_is_running(empty_aws: LocalAws) -> None:
    make_function(empty_aws, _HANGS, timeout=900)
    empty_aws.client("lambda").invoke(FunctionName="f", InvocationType="Event")
    eventually(lambda: _workers(empty_aws))
    empty_aws.reset()
    eventually(lambda: not _workers(empty_aws))


def _workers(aws: LocalAws) -> list[int]:
    return processes.descendants(aws._ready.pid)


def test_a_reset_ends_a_deployment_in_progress(empty_aws: LocalAws) -> None:
    token = make_function(empty_aws, _HANGS, timeout=900)
    cloudformation = empty_aws.client("cloudformation")
    cloudformation.create_stack(StackName="s", TemplateBody=_template(token=token))
    eventually(lambda: _workers(empty_aws))
    empty_aws.reset()  # which returns although the function would still run for minutes
    # Had the deployment gone on, the failure of its custom resource would now roll it back, or go on with it.
    time.sleep(1)  # what must not happen comes later on a busy machine, or not at all
    assert cloudformation.list_stacks()["StackSummaries"] == []
    assert empty_aws.client("s3").list_buckets()["Buckets"] == []


def test_the_same_names_can_be_used_again(empty_aws: LocalAws) -> None:
    for answer in (1, 2):
        make_function(empty_aws, f"def handler(e, c): return {answer}")
        assert invoke(empty_aws) == answer
        empty_aws.reset()


def test_clients_and_credentials_outlive_a_reset(empty_aws: LocalAws) -> None:
    client = empty_aws.session.client("sts")
    before = client.get_caller_identity()["Arn"]
    empty_aws.reset()
    assert client.get_caller_identity()["Arn"] == before
