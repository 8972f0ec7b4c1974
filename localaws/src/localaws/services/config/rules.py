"""Rules of AWS Config in templates, and whether Config may invoke their functions.

Faithful to: `AWS::Config::ConfigRule` with its return values; another name replaces the rule. A custom rule
needs a function that lets `config.amazonaws.com` invoke it (InsufficientPermissionsException), and a message
type. A scope has at most 100 types of resources. The constraints of the API's model hold.
Not to: the configuration recorder, without which AWS refuses rules; what triggers a rule
(`LocalAws.deliver_as` does); managed rules and Guard policies, which are stored; tags.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-config-configrule.html
https://docs.aws.amazon.com/config/latest/APIReference/API_PutConfigRule.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, get_account_id
from ministack.services import config
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Properties, around, new_resource
from localaws.services.config.evaluations import forget
from localaws.services.iam.invocations import service_may_deliver

_PRINCIPAL = "config.amazonaws.com"
_TYPE = "AWS::Config::ConfigRule"
_MOST_TYPES = 100  # https://docs.aws.amazon.com/config/latest/APIReference/API_Scope.html
_rule = new_resource(_TYPE, replaced_by=("ConfigRuleName",))


@around(config, "_put_config_rule")
def _put_config_rule(stock: Callable[..., Any], data: dict[str, Any]) -> Any:
    rule = data.get("ConfigRule") or {}
    source = rule.get("Source") or {}
    function = str(source.get("SourceIdentifier"))
    if len((rule.get("Scope") or {}).get("ComplianceResourceTypes") or ()) > _MOST_TYPES:
        text = f"A scope has at most {_MOST_TYPES} types of resources."
        return error_response_json("InvalidParameterValueException", text, 400)
    if source.get("Owner") == "CUSTOM_LAMBDA":
        if not source.get("SourceDetails"):
            text = "SourceDetails should not be null or empty when the source is CUSTOM_LAMBDA"
            return error_response_json("InvalidParameterValueException", text, 400)
        known = config._config_rules.get(rule.get("ConfigRuleName"), {})
        caller = (_PRINCIPAL, known.get("ConfigRuleArn", ""), get_account_id())  # a new rule has no ARN
        if function.count(":") < 6 or not service_may_deliver(function, *caller):
            text = f"The AWS Lambda function {function} cannot be invoked. Check the specified function ARN, "
            text += "and check the function's permissions."
            return error_response_json("InsufficientPermissionsException", text, 400)
    return stock(data)


@_rule.create
def _create(logical_id: str, properties: Properties, stack: str) -> Created:
    name = properties.get("ConfigRuleName") or provisioners._physical_name(stack, logical_id, max_len=128)
    return _put(str(name), properties)


@_rule.update
def _update(physical_id: str, _old: Properties, new: Properties, _stack: str, _logical_id: str) -> Created:
    return _put(physical_id, new)


@_rule.delete
def _delete(physical_id: str, _properties: Properties) -> None:
    config._config_rules.pop(physical_id, None)
    forget(physical_id)


def _put(name: str, properties: Properties) -> Created:
    rule = {**properties, "ConfigRuleName": name}
    if "InputParameters" in rule and not isinstance(rule["InputParameters"], str):
        rule["InputParameters"] = json.dumps(rule["InputParameters"])
    status, _headers, body = config._put_config_rule({"ConfigRule": rule})
    if status >= 300:
        raise ValueError(json.loads(body)["message"])
    made = config._config_rules[name]
    return name, {
        "Arn": made["ConfigRuleArn"],
        "ConfigRuleId": made["ConfigRuleId"],
        "Compliance.Type": config._compliance_by_rule(name)["Compliance"]["ComplianceType"],
    }
