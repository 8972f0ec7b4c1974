"""A vendor publishes releases, one of them bad; clients at three edge locations download them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import ClientError

from scenarios.framework import (
    BilledEvent,
    Covered,
    DeployedStack,
    NotYet,
    Outcome,
    ScenarioFailed,
    Story,
    require,
)
from scenarios.solutions.software_updates.drill import drill
from scenarios.solutions.software_updates.origin import as_machine
from scenarios.solutions.software_updates.releases import EDGES, Updates, updates
from scenarios.support.endpoints import Endpoint

__all__ = [
    "ACCEPTED_NOT_EMULATED",
    "EVENT",
    "ROLES",
    "Updates",
    "drill",
    "leftovers",
    "run",
    "smoke",
    "updates",
]

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_VIEWERS = 30


def run(stack: DeployedStack) -> Outcome:
    """Release 1.0 is downloaded, 1.1 is bad, and the manifest goes back to 1.0.

    Raises:
        ScenarioFailed: A client got something else, or the origin too many requests.
    """
    story = Story("Software updates from a fleet that CloudFront shields", stack.tell)
    with updates(stack) as vendor:
        vendor.upload("1.0")
        vendor.announce("1.0")
        vendor.wait_for("1.0")
        _download(vendor, story)
        _roll_back(vendor, story)
    _ask_directly(stack, story)
    return story.outcome()


def _download(vendor: Updates, story: Story) -> None:
    edges = [EDGES[number % len(EDGES)] for number in range(_VIEWERS)]
    with ThreadPoolExecutor(6) as viewers, story.timed("downloads"):
        answers = list(viewers.map(lambda edge: vendor.get(vendor.path("1.0"), edge), edges))
    require(
        {one.body for one in answers} == {b"app 1.0"}, f"the downloads: {[one.status for one in answers]}"
    )
    kept = answers[0].header("cache-control")
    require("immutable" in kept, f"cache-control of a versioned file: {kept}")
    story.fact("downloads", len(answers))
    if vendor.requests is not None:
        asked = vendor.counted("1.0")
        story.fact("requests at the origin", asked)
        require(asked == 1, f"the origin was asked {asked} times for one file")
        story.say(
            f"{len(answers)} clients at {len(EDGES)} edge locations downloaded 1.0: {asked} request at the "
            "origin, from Origin Shield."
        )
    else:
        hits = sum("Hit" in one.header("x-cache") for one in answers)
        story.say(
            f"{hits} of {len(answers)} downloads were hits. The requests at the origin are not counted here."
        )


def _roll_back(vendor: Updates, story: Story) -> None:
    seen = []
    vendor.upload("1.1")
    for version in ("1.1", "1.0"):
        vendor.announce(version)
        if vendor.requests is None:
            vendor.wait_for(version)
        seen.append(sorted({vendor.current(edge) for edge in EDGES}))
    story.fact("versions in the manifest", json.dumps(seen))
    require(
        seen == [["1.1"], ["1.0"]], f"after the release of 1.1 and after the rollback, clients saw {seen}"
    )
    bodies = [vendor.get(vendor.path(version)).body.decode() for version in ("1.0", "1.1")]
    require(bodies == ["app 1.0", "app 1.1"], f"the versioned files: {bodies}")
    kept = vendor.get("/manifest.json").header("cache-control")
    require(kept == "no-cache", f"cache-control of the manifest: {kept}")
    if vendor.requests is not None:
        story.fact("requests at the origin, after the rollback", vendor.counted("1.0"))
    story.say(
        "The manifest named 1.1, then 1.0 again: the next request of each client showed it. Nothing was "
        "invalidated, and the file of 1.0 came from the cache."
    )


def _ask_directly(stack: DeployedStack, story: Story) -> None:
    balancer = Endpoint.of(stack, f"http://{stack.output('BalancerName')}")
    try:
        status = balancer.request("GET", "/manifest.json").status
    except OSError:  # private addresses: on AWS there is no connection
        status = 504
    story.fact("load balancer, asked directly", status)
    require(status == 504, f"the load balancer answered a client with {status}")
    story.say("A client that asks the load balancer directly gets no answer: it admits CloudFront only.")


def smoke(stack: DeployedStack) -> None:
    """Use each permission of the functions behind the custom resource, in a small stack of its own.

    Raises:
        ScenarioFailed: The security group is not found.
    """
    scaling, name = stack.client("autoscaling"), f"{stack.name}-finder-{secrets.token_hex(4)}"
    found = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[stack.output("FleetName")])
    subnets = found["AutoScalingGroups"][0]["VPCZoneIdentifier"].split(",")
    vpc = stack.client("ec2").describe_subnets(SubnetIds=subnets)["Subnets"][0]["VpcId"]
    answers = stack.client("lambda").get_function_configuration(FunctionName=stack.output("AnswersName"))
    properties = {"ServiceToken": answers["FunctionArn"], "ServiceTimeout": "200", "VpcId": vpc}
    template = {"Resources": {"Group": {"Type": "Custom::Group", "Properties": properties}}}
    client = stack.client("cloudformation")
    created = client.create_stack(StackName=name, TemplateBody=json.dumps(template))["StackId"]

    def ended() -> str:
        status = str(client.describe_stacks(StackName=created)["Stacks"][0]["StackStatus"])
        if status.endswith("_IN_PROGRESS"):
            raise NotYet(status)
        return status

    status = stack.wait_until(ended, "the custom resource")
    client.delete_stack(StackName=created)
    stack.wait_until(ended, "its deletion")
    require(status == "CREATE_COMPLETE", f"the custom resource: {status}")


def copy_releases(stack: DeployedStack) -> None:
    """Use each permission of the machines: list the releases, and copy one.

    Raises:
        ScenarioFailed: A call fails.
    """
    bucket = stack.output("BucketName")
    with updates(stack) as vendor:
        vendor.upload("smoke")
        try:
            with as_machine(stack) as client:
                listed = client.list_objects_v2(Bucket=bucket, Prefix=vendor.path("smoke")[1:])
                client.get_object(Bucket=bucket, Key=listed["Contents"][0]["Key"])
        except ClientError as error:
            raise ScenarioFailed(f"as a machine: {error}") from error


def one_download(stack: DeployedStack) -> None:
    """Upload a release and download it once."""
    with updates(stack) as vendor:
        vendor.upload("1.0")

        def download() -> None:
            if (status := vendor.get(vendor.path("1.0")).status) != 200:
                raise NotYet(f"status {status}")

        stack.wait_until(download, "the machines of a new stack")


EVENT = BilledEvent("a release is uploaded, and downloaded once", one_download)

ROLES: tuple[Covered, ...] = (
    Covered("FleetRoleArn", copy_releases, function="FinderName"),
    Covered("FinderName", smoke),
    Covered("AnswersName", smoke, only_for_failures=frozenset({"sqs:SendMessage"})),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the releases and the manifest in the bucket, which a run or a drill left behind."""
    found = stack.client("s3").list_objects_v2(Bucket=stack.output("BucketName")).get("Contents", [])
    return [f"file: {one['Key']}" for one in found]
