"""A custom resource: the security group that CloudFront makes in a VPC for its VPC origins.

CloudFormation does not return its id.
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-vpc-origins.html
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from shared.clients import make_clients

    (_ec2,) = make_clients("ec2")

NAME = "CloudFront-VPCOrigins-Service-SG"
_ATTEMPTS, _PAUSE = 12, 5  # within the function's two minutes: it may come after the distribution

logger = logging.getLogger()
logger.setLevel(logging.INFO)


class NotFound(Exception):
    """The VPC has no such security group."""


def handler(event: dict[str, Any], _context: object) -> dict[str, Any] | None:
    """Find the security group of the VPC ``VpcId``. There is nothing to delete.

    Raises:
        NotFound: It is not there after a minute.
        ValueError: The property is missing.
    """
    if event["RequestType"] == "Delete":
        return None
    vpc = event["ResourceProperties"].get("VpcId")
    if not isinstance(vpc, str) or not vpc:
        raise ValueError("VpcId: give the id of a VPC in the properties of the resource")
    group = find(_ec2, vpc, time.sleep)
    logger.info("found: %s", group)
    return {"PhysicalResourceId": group, "Data": {"SecurityGroupId": group}}


def find(ec2: Any, vpc: str, pause: Callable[[float], object]) -> str:
    """Return the id of the security group, once it is there.

    Args:
        ec2: A client of EC2.
        vpc: The id of the VPC.
        pause: Called with seconds before the next attempt.

    Raises:
        NotFound: It does not come.
    """
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": [NAME]}]
    for attempt in range(_ATTEMPTS):
        if attempt:
            pause(_PAUSE)
        if found := ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
            return str(found[0]["GroupId"])
    raise NotFound(f"{NAME}: not in {vpc}; CloudFront makes it with the first VPC origin of the VPC")
