"""Actions of AWS IoT rules need their permissions, and functions are invoked asynchronously.

    message -> rule -> function (its policy), or queue, topic, table, other MQTT topic (role of the action)
    failed action -> error action of the rule

The emulator asks for no permission, and runs a function once, without retries and destinations.

Faithful to: AWS IoT invokes a function only if its policy allows `iot.amazonaws.com` for the rule, and then
asynchronously, with the queue, retries and destinations of asynchronous invocations. The role of an action
must trust `iot.amazonaws.com`, and allow what the action does. An action that fails, because a permission or
the function is missing, is in the message to the error action, whose own role is asked as well. After the
topic filter of a statement comes `WHERE` with a condition, or nothing; a filter has at most 256 bytes and 7
slashes, no NUL, and its wildcards are whole levels.
Not to: `SET`, which the emulator refuses; the number of slashes of a topic that is published to; the retries
of AWS IoT itself, the text of `errorMessage`, keys of encrypted targets, the permission to pass a role to a
rule.

https://docs.aws.amazon.com/iot/latest/developerguide/lambda-rule-action.html
https://docs.aws.amazon.com/iot/latest/developerguide/iot-create-role.html
https://docs.aws.amazon.com/iot/latest/developerguide/rule-error-handling.html
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import iot, lambda_svc

from localaws.patching import around, replaces
from localaws.services.iam.invocations import in_account_of, service_may_invoke
from localaws.services.iam.roles import role_allows, role_trusts

_SERVICE = "iot.amazonaws.com"


# https://docs.aws.amazon.com/general/latest/gr/iot-core.html#message-broker-limits
_LONGEST_FILTER, _MOST_SLASHES = 256, 7
_FROM = re.compile(r"\sFROM\s+'(?P<filter>[^']*)'", re.IGNORECASE)
_CONDITION = re.compile(r"(\s+WHERE\s+\S.*)?\s*", re.IGNORECASE | re.DOTALL)


@around(iot, "_validate_rule_sql")
def _validate_rule_sql(stock: Callable[[str], str | None], sql: str) -> str | None:
    if (problem := stock(sql)) or (found := _FROM.search(sql)) is None:
        return problem
    if _CONDITION.fullmatch(sql, found.end()) is None:
        return f"Unexpected text after the topic filter: {sql[found.end() :][:60]}"
    levels = found["filter"].split("/")
    wildcards = all(level in ("+", "#") or not {"+", "#"} & set(level) for level in levels)
    fits = len(found["filter"].encode()) <= _LONGEST_FILTER and len(levels) - 1 <= _MOST_SLASHES
    if not (found["filter"] and wildcards and fits) or "#" in levels[:-1] or "\0" in found["filter"]:
        return f"Invalid topic filter: {found['filter'][:60]}"
    return None


class ActionFailedError(Exception):
    """An action cannot be performed; the message gives the reason."""


@around(iot, "_dispatch_rule_action")
async def _dispatch_rule_action(
    stock: Callable[..., Awaitable[None]],
    account_id: str,
    region: str,
    rule_name: str,
    action: dict[str, Any],
    event: Any,
) -> None:
    with request_scope(account_id, region):
        rule = iot._topic_rule_arn(rule_name)
        if function := (action.get("lambda") or {}).get("functionArn"):
            if not service_may_invoke(function, _SERVICE, rule, account_id):
                raise ActionFailedError(f"{_SERVICE} is not authorized to invoke {function}")
        else:
            _check_role(account_id, region, rule, action)
    await stock(account_id, region, rule_name, action, event)


def _check_role(account: str, region: str, rule: str, action: dict[str, Any]) -> None:
    """Check the role of an action, as far as the emulator performs such actions."""
    ((kind, settings),) = list(action.items())[:1] or [("", {})]
    place = f"{region}:{account}"
    match kind:
        case "sqs":
            owner, name = settings["queueUrl"].split("/")[-2:]
            needed, resource = "sqs:SendMessage", f"arn:aws:sqs:{region}:{owner}:{name}"
        case "sns":
            needed, resource = "sns:Publish", settings["targetArn"]
        case "dynamoDBv2":
            table = settings["putItem"]["tableName"]
            needed, resource = "dynamodb:PutItem", f"arn:aws:dynamodb:{place}:table/{table}"
        case "republish":
            topic = settings["topic"].replace("$$", "$", 1)
            needed, resource = "iot:Publish", f"arn:aws:iot:{place}:topic/{topic}"
        case _:
            return
    role = settings.get("roleArn") or ""
    if not role_trusts(role, _SERVICE, rule, account):
        raise ActionFailedError(f"{_SERVICE} is not authorized to perform sts:AssumeRole on {role}")
    if not role_allows(role, needed, resource):
        raise ActionFailedError(f"{role} is not authorized to perform {needed} on {resource}")


@replaces(iot, "_dispatch_rule_to_lambda")
def _dispatch_rule_to_lambda(account_id: str, region: str, function_arn: str, event: Any) -> None:
    """Put the event into the function's queue."""
    with in_account_of(function_arn):
        func, config, _name = lambda_svc._get_func_record_for_ref(function_arn)
        if not func or not config:
            raise ActionFailedError(f"function not found: {function_arn}")
        lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(func, config), event)
