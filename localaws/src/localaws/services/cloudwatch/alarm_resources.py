"""AWS::CloudWatch::Alarm with Metrics, and AWS::CloudWatch::CompositeAlarm.

The emulator refuses the first and lacks the second.

Faithful to: an alarm in a template is created as by PutMetricAlarm or PutCompositeAlarm, with the same
checks. A new name replaces it. `Ref` is the name, and Arn an attribute. An alarm that a composite alarm uses
cannot be deleted.
Not to: ActionsSuppressor of composite alarms.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudwatch-alarm.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudwatch-compositealarm.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Properties, new_resource, replaces
from localaws.services.cloudwatch.data import is_true

_COMMON = ("AlarmDescription", "AlarmActions", "OKActions", "InsufficientDataActions")
_METRIC = (
    *("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions", "Unit", "Metrics"),
    *("EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData"),
)
_COMPOSITE_TYPE = "AWS::CloudWatch::CompositeAlarm"


_composite = new_resource(_COMPOSITE_TYPE)


@replaces(provisioners, "_cw_metric_alarm_put")
def _put_metric_alarm(name: str, props: Properties) -> Created:
    # Read now: `cloudwatch.alarms` has replaced it.
    put = cloudwatch._put_metric_alarm
    return _put("AWS::CloudWatch::Alarm", put, cloudwatch._alarms, name, props, _METRIC)


def _put(
    type_: str,
    put: Callable[..., Any],
    stored: Any,
    name: str,
    properties: Properties,
    settings: tuple[str, ...],
) -> Created:
    given = {each: properties.get(each) for each in (*_COMMON, *settings)}
    request = {each: value for each, value in given.items() if value is not None}
    request |= {"AlarmName": name, "ActionsEnabled": is_true(properties.get("ActionsEnabled", True))}
    status, _, body = put({}, json.loads(json.dumps(request)), is_cbor=False, is_json=True)
    if status != 200:
        raise ValueError(f"{type_}: {json.loads(body)['message']}")
    cloudwatch.cloudformation_set_metric_alarm_tags(name, properties.get("Tags") or [])
    return name, {"Arn": stored[name]["AlarmArn"]}


@_composite.create
def _create_composite(logical_id: str, properties: Properties, stack: str) -> Created:
    name = _composite_name(logical_id, properties, stack)
    stored = cloudwatch._composite_alarms
    return _put(_COMPOSITE_TYPE, cloudwatch._put_composite_alarm, stored, name, properties, ("AlarmRule",))


@_composite.update
def _update_composite(
    _physical_id: str, _old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    """Put it again; with another name it is another alarm, and CloudFormation deletes the old one."""
    return _create_composite(logical_id, new, stack)


@_composite.delete
def _delete_composite(physical_id: str, _properties: Properties) -> None:
    status, _, body = cloudwatch._delete_alarms(
        {}, {"AlarmNames": [physical_id]}, is_cbor=False, is_json=True
    )
    if status != 200:
        raise ValueError(f"{_COMPOSITE_TYPE}: {json.loads(body)['message']}")


def _composite_name(logical_id: str, properties: Properties, stack: str) -> str:
    given = properties.get("AlarmName")
    return str(given or provisioners._physical_name(stack, logical_id, max_len=255))
