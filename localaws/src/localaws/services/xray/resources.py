"""The CloudFormation types of X-Ray.

Faithful to: `AWS::XRay::Group` and `AWS::XRay::SamplingRule`, whose `Ref` is the ARN; update, and replacement
when the name changes.
Not to: insights, which are recorded only; `AWS::XRay::ResourcePolicy` and
`AWS::XRay::TransactionSearchConfig`.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-xray-group.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-xray-samplingrule.html
"""

from __future__ import annotations

from typing import Any

from localaws.patching import Created, Properties, new_resource, recorded_only
from localaws.services.xray import groups, sampling, tags

_group = new_resource("AWS::XRay::Group", replaced_by=("GroupName",), stack_tags=True)
_rule = new_resource("AWS::XRay::SamplingRule", stack_tags=True)
recorded_only("AWS::XRay::Group", "InsightsConfiguration")

_NUMBERS = {"FixedRate": float, "Priority": int, "ReservoirSize": int, "Version": int}


@_group.create
def _create_group(_logical_id: str, properties: Properties, _stack: str) -> Created:
    made = groups.create(_settings(properties))
    tags.replace(made["GroupARN"], properties.get("Tags"))
    return made["GroupARN"], {"GroupARN": made["GroupARN"]}


@_group.update
def _update_group(physical_id: str, _old: Properties, new: Properties, _stack: str) -> Created:
    groups.update({"FilterExpression": "", **_settings(new), "GroupARN": physical_id, "GroupName": None})
    tags.replace(physical_id, new.get("Tags"))
    return physical_id, {"GroupARN": physical_id}


@_group.delete
def _delete_group(physical_id: str, _properties: Properties) -> None:
    groups.delete({"GroupARN": physical_id})
    tags.replace(physical_id, None)


def _settings(properties: Properties) -> dict[str, Any]:
    names = ("GroupName", "FilterExpression", "InsightsConfiguration")
    return {name: value for name in names if (value := properties.get(name)) is not None}


@_rule.create
def _create_rule(_logical_id: str, properties: Properties, _stack: str) -> Created:
    made = sampling.create({"Version": 1, **_of(properties)}).values
    tags.replace(made["RuleARN"], properties.get("Tags"))
    return made["RuleARN"], {"RuleARN": made["RuleARN"]}


@_rule.update
def _update_rule(physical_id: str, old: Properties, new: Properties, stack: str) -> Created:
    if _of(old).get("RuleName") != _of(new).get("RuleName"):
        return _create_rule("", new, stack)  # a replacement
    changed = {name: value for name, value in _of(new).items() if name not in ("RuleName", "Version")}
    sampling.update({"Attributes": {}, **changed, "RuleARN": physical_id})
    tags.replace(physical_id, new.get("Tags"))
    return physical_id, {"RuleARN": physical_id}


@_rule.delete
def _delete_rule(physical_id: str, _properties: Properties) -> None:
    sampling.delete({"RuleARN": physical_id})
    tags.replace(physical_id, None)


def _of(properties: Properties) -> dict[str, Any]:
    """The rule; a template may have its numbers as text."""
    given = dict(properties.get("SamplingRule") or {})
    return {name: _NUMBERS[name](value) if name in _NUMBERS else value for name, value in given.items()}
