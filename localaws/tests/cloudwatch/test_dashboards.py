"""Dashboards."""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import deploy
from localaws import LocalAws

pytestmark = pytest.mark.local


@pytest.mark.parametrize("body", ["no JSON", "[]", '{"widgets": 7}'])
def test_a_body_that_is_no_dashboard_is_refused(local_aws: LocalAws, body: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterInput"):
        local_aws.client("cloudwatch").put_dashboard(DashboardName=uuid.uuid4().hex, DashboardBody=body)


def test_a_dashboard_of_a_template_has_its_tags(local_aws: LocalAws) -> None:
    properties = {"DashboardBody": json.dumps({"widgets": []}), "Tags": [{"Key": "team", "Value": "shop"}]}
    board = {"Type": "AWS::CloudWatch::Dashboard", "Properties": properties}
    stack, cloudwatch = (
        deploy(local_aws, {"Board": board}, {"Name": {"Ref": "Board"}}),
        local_aws.client("cloudwatch"),
    )
    arn = cloudwatch.get_dashboard(DashboardName=stack.outputs["Name"])["DashboardArn"]
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == properties["Tags"]
    changed = {**board, "Properties": {**properties, "Tags": [{"Key": "team", "Value": "other"}]}}
    stack.update({"Board": changed})
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "other"}]
