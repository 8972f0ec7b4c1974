"""Software updates, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import DeployedStack, Outcome, ScenarioFailed
from scenarios.solutions import software_updates

pytestmark = pytest.mark.local


def test_a_release_costs_one_request_and_the_manifest_rolls_it_back(outcome: Outcome) -> None:
    assert outcome.facts == {
        "downloads": 30,
        "requests at the origin": 1,
        "versions in the manifest": '[["1.1"], ["1.0"]]',
        "requests at the origin, after the rollback": 1,
        "load balancer, asked directly": 504,
    }


def test_failures_cost_only_what_is_not_in_the_cache(drilled: Outcome) -> None:
    assert drilled.facts == {
        "requests at the origin without Origin Shield": 3,
        "a machine lost": 200,
        "CloudFront shut out: manifest": "2.0",
        "CloudFront shut out: its release": 200,
        "CloudFront shut out: a new file": 504,
        "CloudFront admitted again": 200,
        "fleet gone: manifest": "2.0",
        "fleet gone: its release": 200,
        "fleet gone: a new file": 502,
    }


def test_leftovers_are_files(stack: DeployedStack) -> None:
    with software_updates.updates(stack) as vendor:
        vendor.upload("left")
        assert software_updates.leftovers(stack) == [f"file: {vendor.path('left')[1:]}"]
    assert software_updates.leftovers(stack) == []


def test_a_manifest_of_another_author_is_neither_replaced_nor_deleted(stack: DeployedStack) -> None:
    """Clients must not be sent to test versions, nor lose the manifest to one that comes during a run."""
    s3, place = stack.client("s3"), {"Bucket": stack.output("BucketName"), "Key": "manifest.json"}
    with software_updates.updates(stack):
        s3.put_object(**place, Body=b"theirs")
    with pytest.raises(ScenarioFailed, match="names a release of yours"):
        software_updates.run(stack)
    assert s3.get_object(**place)["Body"].read() == b"theirs"
    s3.delete_object(**place)
