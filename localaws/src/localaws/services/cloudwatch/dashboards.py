"""Dashboards: a body that is no JSON is refused, and a dashboard in a template has its tags.

Faithful to: PutDashboard and CloudFormation refuse a body that is no JSON object, or whose `widgets` are no
list; PutDashboard refuses a name with other characters than A-Z, a-z, 0-9, - and _. The tags of the template
can be listed and changed.
Not to: what a widget may have: nothing here draws it.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudwatch-dashboard.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.refusals import Parameters, Refusal, refuses

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TYPE = "AWS::CloudWatch::Dashboard"


@refuses("cloudwatch", "PutDashboard")
def _body(request: Parameters) -> Refusal | None:
    name = str(request.get("DashboardName"))
    if not _NAME.fullmatch(name):
        text = f"The value {name} for field DashboardName contains invalid characters."
        return Refusal("InvalidParameterInput", text)
    try:
        body: Any = json.loads(str(request.get("DashboardBody")))
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("widgets", []), list):
        return None
    return Refusal("InvalidParameterInput", "The field DashboardBody must be a valid JSON object.")


@around(cloudwatch, "_validate_alarm_tag_arn")
def _validate_tag_arn(stock: Callable[..., Any], arn: str, *args: Any, **kwargs: Any) -> Any:
    """Tags of a dashboard can be read and changed, too, if it is there."""
    if any(one["DashboardArn"] == arn for one in cloudwatch._dashboards.values()):
        return None
    return stock(arn, *args, **kwargs)


@resource(_TYPE).create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    return _tagged(stock(logical_id, properties, stack), properties)


@resource(_TYPE).update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    return _tagged(stock(physical_id, old, new, stack, logical_id), new)


def _tagged(made: Created, properties: Properties) -> Created:
    arn = cloudwatch._dashboards[made[0]]["DashboardArn"]
    tags = {tag["Key"]: str(tag.get("Value", "")) for tag in properties.get("Tags") or []}
    cloudwatch._resource_tags[arn] = tags
    return made
