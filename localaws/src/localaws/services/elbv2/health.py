"""Health checks of functions and instances behind load balancers.

The emulator reports every target as healthy without checking it.

Faithful to: a target group of a function with health checks enabled, and used by a rule, invokes the function
with the documented event at its interval. Statuses in the matcher pass, and responses after the timeout fail.
A new target is healthy after one passed check; later the thresholds apply. DescribeTargetHealth returns
`initial`, `healthy`, `unhealthy`, `unused` or `unavailable`, with the reason code. An unhealthy function gets
requests, as the only target. A running instance gets `GET` with the health check's path, at what
`aws.instances_answer` says listens on it; without that, and if no security group allows the connection, it is
unhealthy.
Not to: the time between checks, which is shortened (LOCALAWS_SECONDS_PER_MINUTE). Checks from each
Availability Zone: there is one at a time, and one that exceeds its timeout is waited for. Targets by IP
address are reported as healthy.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html#enable-health-checks-lambda
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from ministack.core.responses import request_scope
from ministack.services import alb

from localaws.pace import shortened
from localaws.patching import action, on_reset, on_start
from localaws.services.elbv2.functions import RefusedError, invoke, is_multi_value, make_event, read_response
from localaws.services.elbv2.servers import is_running, port_of, reaches, server_of
from localaws.usage import invoked_as

Response = tuple[int, dict[str, str], bytes]

_CHECKED = ("lambda", "instance")
_POLL_SECONDS = 0.05
_USER_AGENT = (("user-agent", "ELB-HealthChecker/2.0"),)
_DESCRIPTIONS = {
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.HealthCheckDisabled": "Health checks are not enabled for this target",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.ResponseCodeMismatch": "Health checks failed with these codes: [{code}]",
    "Target.Timeout": "Request timed out",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.InvalidState": "Target is in the stopped state",
}


@dataclass
class Health:
    """The health of a target."""

    state: str = "initial"
    reason: str = "Elb.InitialHealthChecking"
    code: int = 0
    in_a_row: int = 0  # consecutive results that contradict `state`
    due: float = 0.0
    checking: bool = False


_health: dict[tuple[str, str], Health] = {}
on_reset(_health.clear)


@on_start
def _start() -> None:
    threading.Thread(target=_check_for_ever, name="localaws-alb-health", daemon=True).start()


def _check_for_ever() -> None:
    while True:
        for account, region, group in _groups():
            with request_scope(account, region):
                _check_if_due(account, region, group)
        time.sleep(_POLL_SECONDS)


def _groups() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for (account, region, _arn), group in list(alb._tgs._data.items()):
        if group["TargetType"] in _CHECKED and group["HealthCheckEnabled"]:
            yield account, region, group


def _check_if_due(account: str, region: str, group: dict[str, Any]) -> None:
    arn = group["TargetGroupArn"]
    if not alb._targets.get(arn) or not _is_in_use(arn):
        return
    for target in list(alb._targets[arn]):
        health = _health.setdefault((arn, target["Id"]), Health())
        if health.checking or time.monotonic() < health.due:
            continue
        health.due = time.monotonic() + shortened(group["HealthCheckIntervalSeconds"])
        health.checking = True
        check = functools.partial(_check_in, account, region, health, group, target)
        threading.Thread(target=check, name="localaws-alb-health-check", daemon=True).start()


def _check_in(
    account: str, region: str, health: Health, group: dict[str, Any], target: dict[str, Any]
) -> None:
    with request_scope(account, region):
        _check(health, group, target)


def _is_in_use(arn: str) -> bool:
    actions = (action for rule in alb._rules.values() for action in rule.get("Actions", []))
    return any(action.get("TargetGroupArn") == arn for action in actions)


def _check(health: Health, group: dict[str, Any], target: dict[str, Any]) -> None:
    began = time.monotonic()
    reason, code = "", 0
    invoked_as.set("Health check")  # in a thread of its own
    try:
        ask = _ask_function if group["TargetType"] == "lambda" else _ask_instance
        code = ask(group, target)
        if not _is_expected(code, group["Matcher"]["HttpCode"]):
            reason = "Target.ResponseCodeMismatch"
    except TimeoutError:
        reason = "Target.Timeout"
    except (RefusedError, OSError, http.client.HTTPException):
        reason = "Target.FailedHealthChecks"
    if time.monotonic() - began > group["HealthCheckTimeoutSeconds"]:
        reason = "Target.Timeout"
    _note(health, group, reason, code)
    health.checking = False


def _ask_function(group: dict[str, Any], target: dict[str, Any]) -> int:
    arn, function = group["TargetGroupArn"], target["Id"]
    path, _, query = group["HealthCheckPath"].partition("?")
    event = make_event(arn, "GET", path, query, _USER_AGENT, b"")
    return read_response(invoke(function, arn, event), multi_value=is_multi_value(arn))[0]


def _ask_instance(group: dict[str, Any], target: dict[str, Any]) -> int:
    arn = group["TargetGroupArn"]
    if not reaches(arn, target):
        raise TimeoutError
    server = server_of(target["Id"], arn) if is_running(target["Id"]) else None
    if server is None:
        raise ConnectionRefusedError
    connection = http.client.HTTPConnection(*server, timeout=group["HealthCheckTimeoutSeconds"])
    with contextlib.closing(connection):
        connection.request("GET", group["HealthCheckPath"], headers=dict(_USER_AGENT))
        return connection.getresponse().status


def _is_expected(code: int, matcher: str) -> bool:
    """Whether a code is among `200`, `200,202` or `200-299`."""
    for part in matcher.split(","):
        low, _, high = part.partition("-")
        if int(low) <= code <= int(high or low):
            return True
    return False


def _note(health: Health, group: dict[str, Any], reason: str, code: int) -> None:
    """Count a result; the empty reason is a good one."""
    good = not reason
    if health.state == ("healthy" if good else "unhealthy"):
        health.in_a_row, health.reason, health.code = 0, reason, code
        return
    health.in_a_row += 1
    first = health.state == "initial" and good
    needed = group["HealthyThresholdCount" if good else "UnhealthyThresholdCount"]
    if first or health.in_a_row >= needed:
        health.state, health.in_a_row = ("healthy" if good else "unhealthy"), 0
        health.reason, health.code = reason, code


@action(alb, "DescribeTargetHealth")
def _describe_target_health(stock: Callable[..., Response], params: dict[str, Any]) -> Response:
    arn = alb._p(params, "TargetGroupArn")
    group = alb._tgs.get(arn)
    if group is None or group["TargetType"] not in _CHECKED:
        return stock(params)
    wanted = [target["Id"] for target in alb._parse_targets_param(params)]
    members = "".join(
        _describe(group, target)
        for target in alb._targets.get(arn, [])
        if not wanted or target["Id"] in wanted
    )
    described: Response = alb._xml(
        200, "DescribeTargetHealth", f"<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"
    )
    return described


def state_of(target_group: str, target: str) -> str:
    """The state of a target: `healthy`, for one."""
    return _of(alb._tgs[target_group], target).state


def _of(group: dict[str, Any], target: str) -> Health:
    arn = group["TargetGroupArn"]
    if not group["HealthCheckEnabled"]:
        return Health("unavailable", "Target.HealthCheckDisabled")
    if not _is_in_use(arn):
        return Health("unused", "Target.NotInUse")
    if group["TargetType"] == "instance" and not is_running(target):
        return Health("unused", "Target.InvalidState")
    return _health.get((arn, target), Health())


def _describe(group: dict[str, Any], target: dict[str, Any]) -> str:
    health = _of(group, target["Id"])
    details = f"<State>{health.state}</State>"
    if health.reason:
        text = _DESCRIPTIONS[health.reason].format(code=health.code)
        details += f"<Reason>{health.reason}</Reason><Description>{escape(text)}</Description>"
    place = "<AvailabilityZone>all</AvailabilityZone>"
    if group["TargetType"] == "instance":
        place = f"<Port>{port_of(group['TargetGroupArn'], target)}</Port>"
    return (
        f"<member><Target><Id>{escape(target['Id'])}</Id>{place}</Target>"
        f"<TargetHealth>{details}</TargetHealth></member>"
    )
