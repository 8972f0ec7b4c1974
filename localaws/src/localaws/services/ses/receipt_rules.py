"""AWS::SES::ReceiptRuleSet and AWS::SES::ReceiptRule: rules for mail that SES receives.

The emulator has rules in its API only. Neither it nor this bridge receives mail: `LocalAws.deliver_as` puts a
mail into the bucket and invokes the functions, as SES does.

Faithful to: a rule is checked as by CreateReceiptRule, has at most 10 actions and 500 recipients, and comes
first in its set, or after the one that `After` names. SES tries the actions of a rule when it is created or
changed: a bucket whose policy does not let SES write for this rule, or a function whose policy does not let
SES invoke it, fails the deployment. To try a bucket, SES writes the object AMAZON_SES_SETUP_NOTIFICATION. An
active rule set cannot be deleted. `Ref` is the name of the rule or the set. No template can activate a set:
SetActiveReceiptRuleSet does.
Not to: the physical id of a rule in events of CloudFormation, topics, and keys of SES's own encryption.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ses-receiptruleset.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ses-receiptrule.html
https://docs.aws.amazon.com/ses/latest/APIReference/API_CreateReceiptRule.html
https://docs.aws.amazon.com/ses/latest/dg/receiving-email-permissions.html
"""

from __future__ import annotations

import copy
import html
import re
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import s3, ses
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Properties, new_resource, recorded_only
from localaws.services.iam.invocations import service_may_deliver, service_may_invoke

_SERVICE = "ses.amazonaws.com"
_SET_TYPE, _RULE_TYPE = "AWS::SES::ReceiptRuleSet", "AWS::SES::ReceiptRule"
_set = new_resource(_SET_TYPE, replaced_by=("RuleSetName",))
_rule = new_resource(_RULE_TYPE, replaced_by=("RuleSetName",))
recorded_only(_RULE_TYPE, "Rule.Recipients", "Rule.ScanEnabled", "Rule.TlsPolicy")
# https://docs.aws.amazon.com/ses/latest/dg/quotas.html
_QUOTAS = {"Actions": 10, "Recipients": 500}
_FIRST_MAIL = "AMAZON_SES_SETUP_NOTIFICATION"


# --- Rule sets


@_set.create
def _create_set(logical_id: str, properties: Properties, stack: str) -> Created:
    name = properties.get("RuleSetName") or provisioners._physical_name(stack, logical_id, max_len=64)
    _check(_SET_TYPE, ses._create_receipt_rule_set({"RuleSetName": [name]}))
    return name, {}


@_set.update
def _update_set(physical_id: str, _old: Properties, _new: Properties, _stack: str) -> Created:
    return physical_id, {}


@_set.delete
def _delete_set(physical_id: str, _properties: Properties) -> None:
    _check(_SET_TYPE, ses._delete_receipt_rule_set({"RuleSetName": [physical_id]}))


# --- Rules


@_rule.create
def _create_rule(logical_id: str, properties: Properties, stack: str) -> Created:
    rule, rules = _rule_of(logical_id, properties, stack), _rules_of(properties)
    if any(one["Name"] == rule["Name"] for one in rules):
        raise ValueError(f"{_RULE_TYPE}: Rule already exists: {rule['Name']}")
    _insert(rule, rules, properties)
    return rule["Name"], {}


@_rule.update
def _update_rule(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    rule, rules = _rule_of(logical_id, new, stack), _rules_of(new)
    if rule["Name"] != physical_id:  # CloudFormation deletes the old rule at the end
        created: Created = provisioners._seeded_create(_create_rule, logical_id, new, stack)
        return created
    place = next((n for n, one in enumerate(rules) if one["Name"] == physical_id), None)
    if place is None:
        raise ValueError(f"{_RULE_TYPE}: Rule does not exist: {physical_id}")
    if old.get("After") == new.get("After"):
        rules[place] = rule
    else:
        del rules[place]
        _insert(rule, rules, new)
    return physical_id, {}


@_rule.delete
def _delete_rule(physical_id: str, properties: Properties) -> None:
    if properties["RuleSetName"] in ses._receipt_rule_sets:
        rules = _rules_of(properties)
        rules[:] = [rule for rule in rules if rule["Name"] != physical_id]


def _rule_of(logical_id: str, properties: Properties, stack: str) -> dict[str, Any]:
    """The rule as the API returns it, once it has been checked and its actions have been tried."""
    given = copy.deepcopy(properties["Rule"])
    rule: dict[str, Any] = {
        "Name": given.get("Name") or provisioners._physical_name(stack, logical_id, max_len=64),
        "Enabled": str(given.get("Enabled", False)).lower() == "true",
        "TlsPolicy": given.get("TlsPolicy", "Optional"),
        "Actions": list(given.get("Actions") or []),
        "ScanEnabled": str(given.get("ScanEnabled", False)).lower() == "true",
        **({"Recipients": list(given["Recipients"])} if given.get("Recipients") else {}),
    }
    wrong_name = ses._receipt_name_error({"Name": rule["Name"]}, "Name", "rule.name", "ruleName")
    for kind, most in _QUOTAS.items():
        if len(rule.get(kind, ())) > most:
            raise ValueError(f"{_RULE_TYPE}: LimitExceeded: a rule has at most {most} {kind.lower()}")
    if error := wrong_name or ses._receipt_rule_error(rule):
        _check(_RULE_TYPE, error)
    account = get_account_id()
    arn = (
        f"arn:aws:ses:{get_region()}:{account}:receipt-rule-set/{properties['RuleSetName']}"
        f":receipt-rule/{rule['Name']}"
    )
    for action in rule["Actions"]:
        _try(action, arn, account)
    return rule


def _try(action: dict[str, Any], rule: str, account: str) -> None:
    function = action.get("LambdaAction", {}).get("FunctionArn")
    if function and not service_may_invoke(function, _SERVICE, rule, account):
        reason = f"InvalidLambdaFunction: Could not invoke Lambda function: {function}"
        raise ValueError(f"{_RULE_TYPE}: {reason}")
    settings = action.get("S3Action", {})
    if (bucket := settings.get("BucketName")) and not settings.get("IamRoleArn"):
        key = f"{settings.get('ObjectKeyPrefix', '')}{_FIRST_MAIL}"
        exists = s3._bucket_owner_account(bucket)
        if not exists or not service_may_deliver(f"arn:aws:s3:::{bucket}/{key}", _SERVICE, rule, account):
            raise ValueError(f"{_RULE_TYPE}: InvalidS3Configuration: Could not write to bucket: {bucket}")
        s3._put_object(bucket, key, b"From: Amazon Web Services <no-reply-aws@amazon.com>\r\n\r\n", {})


def _insert(rule: dict[str, Any], rules: list[dict[str, Any]], properties: Properties) -> None:
    after = properties.get("After")
    names = [one["Name"] for one in rules]
    if after and after not in names:
        raise ValueError(f"{_RULE_TYPE}: Rule does not exist: {after}")
    rules.insert(names.index(after) + 1 if after else 0, rule)


def _rules_of(properties: Properties) -> list[dict[str, Any]]:
    name = properties["RuleSetName"]
    if name not in ses._receipt_rule_sets:
        raise ValueError(f"{_RULE_TYPE}: Rule set does not exist: {name}")
    rules: list[dict[str, Any]] = ses._receipt_rule_sets[name]["Rules"]
    return rules


def _check(type_: str, answer: Any) -> None:
    status, _headers, body = answer
    if status >= 400:
        text = body.decode() if isinstance(body, bytes) else body
        found = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
        raise ValueError(f"{type_}: {html.unescape(found.group(1) if found else text)}")
