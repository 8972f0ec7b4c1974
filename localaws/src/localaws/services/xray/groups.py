"""Groups: traces that a filter expression selects, under a name.

Faithful to: create, read, list, update and delete, with the group `Default`, which has no expression; an
expression is checked when a group gets it; 25 groups of your own at most.
Not to: insights and notifications, which are recorded only; the metrics of groups; the words of refusals.

https://docs.aws.amazon.com/xray/latest/devguide/xray-console-groups.html
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from localaws.patching import on_reset
from localaws.services.xray import filters
from localaws.services.xray.filters import InvalidExpression, View
from localaws.services.xray.sampling import RefusedError
from localaws.services.xray.segments import Trace

Values = dict[str, Any]

_MOST_GROUPS = 25
_MEMBERS = ("GroupName", "GroupARN", "FilterExpression", "InsightsConfiguration")
_NO_INSIGHTS = {"InsightsEnabled": False, "NotificationsEnabled": False}

_groups: Any = AccountRegionScopedDict()  # by name
on_reset(_groups.clear)


def _arn(name: str, id: str) -> str:
    return f"arn:aws:xray:{get_region()}:{get_account_id()}:group/{name}/{id}"


def groups() -> list[Values]:
    """All groups."""
    if "Default" not in _groups:
        _groups["Default"] = {
            "GroupName": "Default",
            "GroupARN": f"arn:aws:xray:{get_region()}:{get_account_id()}:group/Default",
            "InsightsConfiguration": _NO_INSIGHTS,
        }
    return list(_groups.values())


def _checked(given: Mapping[str, Any]) -> Values:
    try:
        filters.compiled(given.get("FilterExpression") or "")
    except InvalidExpression as error:
        raise RefusedError(str(error)) from None
    return {name: given[name] for name in _MEMBERS[2:] if given.get(name) is not None}


def create(given: Mapping[str, Any]) -> Values:
    """Create a group.

    Raises:
        RefusedError: The name is taken, the expression is invalid, or there are too many.
    """
    name = given.get("GroupName")
    if not name:
        raise RefusedError("GroupName is missing")
    if name in {one["GroupName"] for one in groups()}:
        raise RefusedError(f"A group with the name {name} exists already")
    if len(_groups) > _MOST_GROUPS:
        raise RefusedError(f"There may be {_MOST_GROUPS} groups")
    arn = _arn(name, secrets.token_hex(26).upper())
    _groups[name] = {"InsightsConfiguration": _NO_INSIGHTS, **_checked(given)}
    _groups[name] |= {"GroupName": name, "GroupARN": arn}
    made: Values = _groups[name]
    return made


def find(given: Mapping[str, Any]) -> Values:
    """The group with a name or an ARN.

    Raises:
        RefusedError: There is none.
    """
    for one in groups():
        if one["GroupName"] == given.get("GroupName") or one["GroupARN"] == given.get("GroupARN"):
            return one
    raise RefusedError(f"There is no group {given.get('GroupName') or given.get('GroupARN')}")


def update(given: Mapping[str, Any]) -> Values:
    """Change what is given of a group.

    Raises:
        RefusedError: There is no such group, it is the default one, or the expression is invalid.
    """
    group = find(given)
    if group["GroupName"] == "Default":
        raise RefusedError("The default group cannot be changed")
    group |= _checked(given)
    return group


def delete(given: Mapping[str, Any]) -> None:
    """Delete a group.

    Raises:
        RefusedError: There is no such group, or it is the default one.
    """
    name = find(given)["GroupName"]
    if name == "Default":
        raise RefusedError("The default group cannot be deleted")
    del _groups[name]


def selects(expression: str, trace: Trace) -> bool:
    """Whether an expression selects a trace.

    Raises:
        InvalidExpression: It is none.
    """

    def in_group(name: str) -> bool:
        expressions = [one.get("FilterExpression") for one in groups() if one["GroupName"] == name]
        return any(filters.compiled(one or "")(View.of(trace, lambda _: False)) for one in expressions)

    return filters.compiled(expression)(View.of(trace, in_group))
