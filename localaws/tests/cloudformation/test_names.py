"""Names that CloudFormation generates."""

from __future__ import annotations

import json
import uuid

import pytest

from helpers.stacks import role
from localaws import LocalAws

pytestmark = pytest.mark.local


def test_stacks_with_one_name_in_two_regions_have_two_roles(local_aws: LocalAws) -> None:
    """The deletion of one leaves the role of the other."""
    name, roles = f"stack-{uuid.uuid4().hex[:8]}", []
    clients = [local_aws.session.client("cloudformation", region_name=r) for r in ("us-east-1", "eu-west-1")]
    for client in clients:
        client.create_stack(
            StackName=name,
            TemplateBody=json.dumps({"Resources": {"Role": role()}}),
            Capabilities=["CAPABILITY_IAM"],
        )
        client.get_waiter("stack_create_complete").wait(StackName=name)
        (found,) = client.describe_stack_resources(StackName=name)["StackResources"]
        roles.append(found["PhysicalResourceId"])
    assert roles[0] != roles[1]
    clients[0].delete_stack(StackName=name)
    clients[0].get_waiter("stack_delete_complete").wait(StackName=name)
    assert local_aws.client("iam").get_role(RoleName=roles[1])["Role"]["RoleName"] == roles[1]
    clients[1].delete_stack(StackName=name)
