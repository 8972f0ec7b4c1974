"""Listener rules: what Elastic Load Balancing accepts in them, and which requests meet their conditions.

The emulator accepts any condition, ignores source addresses, and reads no query strings from requests to its
API or from templates.

Faithful to: the fields, the number and length of values, the characters that are allowed in them, the number
of wildcards, networks in CIDR notation, in templates and in the API; priorities, which are unique for each
listener. Paths are compared case-sensitively, host names and query strings case-insensitively, and source
addresses with that of the client.
Not to: regular expressions, which are refused. The text of an error is that of AWS only for the number of
values.

https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from ministack.core.responses import get_request_client_ip
from ministack.services import alb
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, action, around, resource
from localaws.services.elbv2 import requests
from localaws.services.elbv2.listeners import check_actions
from localaws.services.elbv2.refusals import (
    InvalidRequestError,
    Response,
    answered,
    check_range,
    nested,
)

Condition = dict[str, Any]

_MOST_VALUES, _MOST_WILDCARDS = 5, 5
_WILDCARD = re.compile(r"(?<!\\)[*?]")
_LONGEST = {"http-request-method": 40}  # the others: 128 characters
_ONCE_IN_A_RULE = ("host-header", "http-request-method", "path-pattern", "source-ip")
_ALLOWED = {
    "path-pattern": re.compile(r"[\w$/~\"'@:+&*?.-]*", re.ASCII),
    "host-header": re.compile(r"[\w.*?-]*\.[A-Za-z]+", re.ASCII),
    "http-request-method": re.compile(r"[A-Z_-]+"),
    "source-ip": re.compile(r"[0-9A-Fa-f.:]+/\d{1,3}", re.ASCII),
    "http-header": re.compile(r".*", re.DOTALL),
    "query-string": re.compile(r".*", re.DOTALL),
}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The fields of which values may also be regular expressions.
_WITH_EXPRESSIONS = {
    "host-header": "HostHeaderConfig",
    "http-header": "HttpHeaderConfig",
    "path-pattern": "PathPatternConfig",
}


# --- What a rule may have


def check_conditions(conditions: Sequence[Condition]) -> None:
    """Check the conditions of a rule.

    Raises:
        InvalidRequestError: Elastic Load Balancing does not accept them.
    """
    if not conditions:
        raise InvalidRequestError("A condition must be specified")
    for field, count in Counter(one["Field"] for one in conditions).items():
        if field not in _ALLOWED:
            raise InvalidRequestError(f"Condition field '{field}' must be one of '{','.join(_ALLOWED)}'")
        if count > 1 and field in _ONCE_IN_A_RULE:
            raise InvalidRequestError(f"A rule can only have one '{field}' condition")
    values = [value for one in conditions for value in _values(one)]
    if len(values) > _MOST_VALUES:
        raise InvalidRequestError(f"A rule can only have '{_MOST_VALUES}' condition values and regex values")
    texts = [text for pair in values for text in pair if text is not None]
    if sum(len(_WILDCARD.findall(text)) for text in texts) > _MOST_WILDCARDS:
        raise InvalidRequestError(f"A rule can only have '{_MOST_WILDCARDS}' condition wildcards")
    for condition in conditions:
        _check_condition(condition)


def _check_condition(condition: Condition) -> None:
    field, values = condition["Field"], list(_values(condition))
    if not values:
        raise InvalidRequestError(
            "You must provide exactly one of the following: ['Values' 'RegexValues'] for config of type "
            f"'{_WITH_EXPRESSIONS[field]}'"
            if field in _WITH_EXPRESSIONS
            else "A condition value must be specified"
        )
    if field == "http-header":
        _check_header(condition.get("HttpHeaderConfig", {}).get("HttpHeaderName", ""))
    longest = _LONGEST.get(field, 128)
    for value in (text for pair in values for text in pair if text is not None):
        if not value:
            raise InvalidRequestError("A condition value must be specified")
        if len(value) > longest:
            text = f"Condition value for '{field}' cannot contain more than {longest} characters"
            raise InvalidRequestError(text)
        if field == "source-ip" and not _is_network(value):
            raise InvalidRequestError(f"The specified value '{value}' is not a valid CIDR block")
        if not _ALLOWED[field].fullmatch(value):
            raise InvalidRequestError(f"Condition value '{value}' contains a character that is not valid")


def _check_header(name: str) -> None:
    if len(name) > 40:
        text = "Condition value for 'http-header' cannot contain more than 40 characters"
        raise InvalidRequestError(text)
    if name.lower() == "host":
        raise InvalidRequestError(f"You cannot specify '{name}' as an HTTP header name")
    if not _HEADER_NAME.fullmatch(name):
        raise InvalidRequestError(f"Condition value '{name}' contains a character that is not valid")


def _values(condition: Condition) -> Iterator[tuple[str | None, str]]:
    """The values, and before each one its key in a query string if it has one."""
    if condition["Field"] == "query-string":
        for pair in condition["QueryStringConfig"]["Values"]:
            yield pair.get("Key"), pair.get("Value", "")
    else:
        values = condition.get("HttpHeaderConfig", condition).get("Values", ())
        yield from ((None, str(value)) for value in values)


def _is_network(value: str) -> bool:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return False
    return _ALLOWED["source-ip"].fullmatch(value) is not None


def check_priority(listener: str, priority: object, *, of: str = "") -> None:
    """Check the priority of a rule.

    Args:
        listener: The listener.
        priority: The priority.
        of: The ARN of the rule, if it exists.

    Raises:
        InvalidRequestError: It is out of range, or another rule of the listener has it.
    """
    check_range("priority", priority, 1, 50_000)
    for arn, rule in alb._rules.items():
        if (rule["ListenerArn"], rule["Priority"]) == (listener, str(priority)) and arn != of:
            raise InvalidRequestError(f"Priority '{priority}' is currently in use", "PriorityInUse")


def _check_rule_actions(listener_arn: str, actions: Sequence[Properties]) -> None:
    if listener := alb._listeners.get(listener_arn):  # the emulator refuses a rule of no listener
        check_actions("actions", actions, listener["Protocol"], listener["LoadBalancerArn"])


# --- Templates


@around(provisioners, "_flatten_listener_rule_conditions")
def _conditions_of_a_template(
    stock: Callable[..., list[Condition]], cfn_conditions: Sequence[Condition]
) -> list[Condition]:
    conditions = stock(cfn_conditions)
    for condition, given in zip(conditions, cfn_conditions or (), strict=True):
        if condition["Field"] == "query-string":
            pairs = (given.get("QueryStringConfig") or {}).get("Values") or []
            condition |= {"Values": [], "QueryStringConfig": {"Values": pairs}}
    check_conditions(conditions)
    return conditions


@resource("AWS::ElasticLoadBalancingV2::ListenerRule", after=["elbv2.shapes"]).create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    check_priority(properties.get("ListenerArn", ""), properties.get("Priority", ""))
    _check_rule_actions(properties.get("ListenerArn", ""), properties.get("Actions") or [])
    return stock(logical_id, properties, stack)


@resource("AWS::ElasticLoadBalancingV2::ListenerRule").update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    check_priority(new.get("ListenerArn", ""), new.get("Priority", ""), of=physical_id)
    _check_rule_actions(new.get("ListenerArn", ""), new.get("Actions") or [])
    return stock(physical_id, old, new, stack, logical_id)


# --- The API


@around(alb, "_parse_conditions")
def _parse_conditions(
    stock: Callable[..., list[Condition]], params: Properties, prefix: str = "Conditions"
) -> list[Condition]:
    conditions = stock(params, prefix)
    for number, condition in enumerate(conditions, 1):
        if condition["Field"] == "query-string":
            base = f"{prefix}.member.{number}.QueryStringConfig.Values.member"
            condition |= {"Values": [], "QueryStringConfig": {"Values": list(_pairs(params, base))}}
    return conditions


def _pairs(params: Properties, base: str) -> Iterator[dict[str, str]]:
    number = 1
    while names := [name for name in ("Key", "Value") if f"{base}.{number}.{name}" in params]:
        yield {name: alb._p(params, f"{base}.{number}.{name}") for name in names}
        number += 1


@action(alb, "CreateRule")
@answered
def _create_rule(stock: Callable[..., Response], params: Properties) -> Response:
    listener = alb._p(params, "ListenerArn")
    check_priority(listener, alb._p(params, "Priority"))
    check_conditions(alb._parse_conditions(params))
    _check_rule_actions(listener, nested(params, "Actions"))
    return stock(params)


@action(alb, "ModifyRule")
@answered
def _modify_rule(stock: Callable[..., Response], params: Properties) -> Response:
    if conditions := alb._parse_conditions(params):
        check_conditions(conditions)
    rule = alb._rules.get(alb._p(params, "RuleArn"))
    if rule and (actions := nested(params, "Actions")):
        _check_rule_actions(rule["ListenerArn"], actions)
    return stock(params)


@action(alb, "SetRulePriorities")
@answered
def _set_priorities(stock: Callable[..., Response], params: Properties) -> Response:
    given: dict[str, str] = {}
    while rule := alb._p(params, f"RulePriorities.member.{len(given) + 1}.RuleArn"):
        given[rule] = alb._p(params, f"RulePriorities.member.{len(given) + 1}.Priority")
    before = {arn: alb._rules[arn]["Priority"] for arn in given if arn in alb._rules}
    for arn in before:
        alb._rules[arn]["Priority"] = ""  # rules may exchange their priorities
    try:
        for arn in before:
            check_priority(alb._rules[arn]["ListenerArn"], given[arn], of=arn)
            alb._rules[arn]["Priority"] = given[arn]
    except InvalidRequestError:
        for arn, priority in before.items():
            alb._rules[arn]["Priority"] = priority
        raise
    return stock(params)


@around(alb, "_condition_xml")
def _condition_xml(stock: Callable[..., str], c: Condition) -> str:
    pairs = c.get("QueryStringConfig")
    if pairs is None:
        return stock({**c, "Values": [escape(value) for value in c.get("Values", ())]})
    members = "".join(
        "<member>" + "".join(f"<{name}>{escape(text)}</{name}>" for name, text in pair.items()) + "</member>"
        for pair in pairs["Values"]
    )
    config = f"<QueryStringConfig><Values>{members}</Values></QueryStringConfig>"
    return f"<member><Field>{c['Field']}</Field>{config}</member>"


# --- Requests


@around(alb, "_match_condition")
def _match_condition(
    stock: Callable[..., bool], cond: Condition, method: str, path: str, headers: Any, query_params: Any
) -> bool:
    values = cond.get("Values", [])
    match cond.get("Field"):
        case "path-pattern":
            return any(_pattern(value).fullmatch(path) for value in values)
        case "host-header":
            host = headers.get("host", "").partition(":")[0]
            return any(_pattern(value.lower()).fullmatch(host.lower()) for value in values)
        case "http-request-method":
            return method in values
        case "source-ip":
            client = ipaddress.ip_address(get_request_client_ip())
            return any(client in ipaddress.ip_network(value) for value in values)
        case "query-string":
            return _matches_query(cond["QueryStringConfig"]["Values"])
    return stock(cond, method, path, headers, query_params)


def _matches_query(wanted: Sequence[Mapping[str, str]]) -> bool:
    request = requests.current.get()
    pairs = parse_qsl(request.query.lower(), keep_blank_values=True) if request else []
    return any(
        _pattern(pair["Value"].lower()).fullmatch(value)
        and ("Key" not in pair or _pattern(pair["Key"].lower()).fullmatch(key))
        for pair in wanted
        for key, value in pairs
    )


def _pattern(wildcards: str) -> re.Pattern[str]:
    r"""The regular expression for ``*`` and ``?``; ``\*`` and ``\?`` are these characters themselves."""
    wild = {"*": ".*", "?": "."}
    parts = re.findall(r"\\[*?]|.", wildcards, re.DOTALL)
    return re.compile("".join(wild.get(part, re.escape(part[-1])) for part in parts), re.DOTALL)
