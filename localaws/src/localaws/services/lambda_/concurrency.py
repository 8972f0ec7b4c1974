"""Concurrency: the account's limit, what is reserved for functions and provisioned, and the metrics of both.

The emulator has one limit for all accounts and Regions, which it derives from the memory of this machine, and
counts executions of functions with reserved concurrency against it. It looks for reserved concurrency in the
record that runs, and that of a published version has none.

Faithful to:
- An account has 1,000 concurrent executions in each Region (`LocalAws(account_concurrency=...)` has others).
  Reserved concurrency is taken out of them, and so is the provisioned concurrency of functions without it.
  Functions without reserved concurrency share the rest.
- An invocation uses provisioned concurrency of the version or alias that was invoked, or of the version
  behind the alias. Beyond that it spills over, to what the function has reserved or to what is shared.
- Beyond both, `Invoke` returns 429 `TooManyRequestsException` with the documented reason.
- The metrics ConcurrentExecutions (account, function, version and alias), UnreservedConcurrentExecutions,
  ProvisionedConcurrentExecutions, ProvisionedConcurrencyInvocations,
  ProvisionedConcurrencySpilloverInvocations and ProvisionedConcurrencyUtilization. Those of a number are
  recorded when an execution begins and ends, and every ten seconds of a documented minute between.
Not to: scaling rates, and so the other reasons of throttling; ClaimedAccountConcurrency; more executions at a
time than this machine has memory for, which are refused like those beyond the account's limit.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-concurrency.html
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, lambda_svc

from localaws.faults.rules import rules
from localaws.pace import shortened
from localaws.patching import around, replaces
from localaws.services.lambda_ import metrics
from localaws.services.lambda_.aliases import function_of
from localaws.settings import numbers

logger = logging.getLogger("localaws.lambda")

Record = dict[str, Any]

_VARIABLE, _SAMPLED_EVERY, _SHORTEST = "LOCALAWS_ACCOUNT_CONCURRENCY", 10, 0.1
ACCOUNT_CONCURRENCY = int(numbers(_VARIABLE, "1000", "a number of executions from 1", low=1)[0])
_limit = [ACCOUNT_CONCURRENCY]

#: Whether the current invocation runs on provisioned concurrency.
provisioned: ContextVar[bool] = ContextVar("localaws_provisioned_concurrency", default=False)


@dataclass(frozen=True)
class _Execution:
    """An invocation that runs.

    Attributes:
        place: The account and Region.
        name: The function.
        arn: What was invoked.
        is_reserved: Whether the function has reserved concurrency.
        provisioned: The version or alias whose provisioned concurrency it uses, or would use if any was free.
        spills_over: Whether none was free.
    """

    place: tuple[str, str]
    name: str
    arn: str
    is_reserved: bool
    provisioned: str | None = None
    spills_over: bool = False

    @property
    def is_provisioned(self) -> bool:
        """Whether it uses provisioned concurrency."""
        return self.provisioned is not None and not self.spills_over


_running: dict[str, _Execution] = {}
_numbers = itertools.count(1)
_lock = threading.Lock()
_sampler: threading.Thread | None = None


def change(executions: int | None) -> int:
    """Set how many concurrent executions an account has from now on, and return how many it had.

    Args:
        executions: The number; None for that of the setting.
    """
    before, _limit[0] = _limit[0], ACCOUNT_CONCURRENCY if executions is None else executions
    return before


def account_limit() -> int:
    """How many concurrent executions an account has in a Region."""
    return _limit[0]


def provisioned_of(function: Record) -> int:
    """How much provisioned concurrency a function has in all."""
    configured = function.get("provisioned_concurrency", {}).values()
    return sum(int(one["RequestedProvisionedConcurrentExecutions"]) for one in configured)


def set_aside(*, without: str = "") -> int:
    """How many executions of the account only certain functions may use.

    Args:
        without: A function that does not count.
    """
    total = 0
    for name, function in lambda_svc._functions.items():
        reserved = function.get("concurrency")
        if name != without:
            total += provisioned_of(function) if reserved is None else int(reserved)
    return total


@around(lambda_svc, "_reserved_concurrency")
def _reserved_concurrency(
    stock: Callable[..., int | None], func: Record | None, config: Record
) -> int | None:
    owner, _ = function_of(config)
    return stock(owner or func, config)


# --- Admission


@replaces(lambda_svc, "_acquire_execution_slot")
def _acquire(func: Record, config: Record) -> tuple[str | None, str | None]:
    with _lock:
        execution, limit = _admitted(func, config)
        number = str(next(_numbers))
        if execution:
            _running[number] = execution
    if execution is None:
        metrics.count_throttle(config)
        return None, limit
    provisioned.set(execution.is_provisioned)
    if execution.provisioned:
        kind = "SpilloverInvocations" if execution.spills_over else "Invocations"
        _record(_resource(execution), f"ProvisionedConcurrency{kind}", 1)
    _observe(execution)
    _start_sampler()
    return number, None


@replaces(lambda_svc, "_release_execution_slot")
def _release(key: str) -> None:
    execution = _running.get(key)
    if execution is not None:
        with request_scope(*execution.place):
            _observe(execution)
    with _lock:
        _running.pop(key, None)


def _admitted(func: Record, config: Record) -> tuple[_Execution | None, str | None]:
    """The execution that may begin, or the limit that is reached: `function` or `account`."""
    _, _, _, region, account, _, name, *_ = config["FunctionArn"].split(":")
    function = function_of(config)[0] or func
    reserved = lambda_svc._reserved_concurrency(func, config)
    place, has = (account, region), provisioned_of(function)
    qualifier, available = _provisioned_for(function, config)
    here = [one for one in _running.values() if one.place == place]
    of_qualifier = [one for one in here if (one.name, one.provisioned) == (name, qualifier)]
    busy = sum(one.is_provisioned for one in of_qualifier)
    spills_over = qualifier is not None and busy >= available
    execution = _Execution(
        place, name, config["FunctionArn"], reserved is not None, qualifier, spills_over=spills_over
    )
    machine = lambda_svc._ACCOUNT_CONCURRENCY_CAP
    if 0 < machine <= len(_running):
        logger.warning("%s: this machine has memory for %d executions at a time", name, machine)
        return None, "account"
    if execution.is_provisioned:
        return execution, None
    on_demand = [one for one in here if not one.is_provisioned]
    if reserved is not None:
        used = sum(one.name == name for one in on_demand)
        return (execution, None) if used < reserved - has else (None, "function")
    used = sum(not one.is_reserved for one in on_demand) + _used_by_others()
    return (execution, None) if used < account_limit() - set_aside() else (None, "account")


def _provisioned_for(function: Record, config: Record) -> tuple[str | None, int]:
    """The version or alias whose provisioned concurrency an invocation uses, and how much is available."""
    configured = function.get("provisioned_concurrency", {})
    for qualifier in (*config["FunctionArn"].split(":")[7:], config.get("Version")):
        if qualifier in configured:
            return qualifier, int(configured[qualifier]["AvailableProvisionedConcurrentExecutions"])
    return None, 0


def _used_by_others() -> int:
    """What functions use that are not here: `aws.faults.concurrency(...)`."""
    rule = rules.applying("concurrency", lambda _: True) if rules.has("concurrency") else None
    return rule.executions if rule else 0


def initialization_type(_config: Record) -> str:
    """The `AWS_LAMBDA_INITIALIZATION_TYPE` of an environment that the current invocation starts."""
    return "provisioned-concurrency" if provisioned.get() else "on-demand"


# --- What callers and metrics see


@around(lambda_svc, "_throttle_response")
def _throttle_response(
    stock: Callable[..., Record], reason_code: str, msg: str, retry_after: int = 1
) -> Record:
    refused = stock(reason_code, "Rate Exceeded.", retry_after)
    return refused | {"body": refused["body"] | {"Type": "User"}}


@around(lambda_svc, "_get_account_settings")
def _get_account_settings(stock: Callable[[], Any]) -> Any:
    status, headers, body = stock()
    answer = json.loads(body)
    reserved = sum(int(one.get("concurrency") or 0) for one in lambda_svc._functions.values())
    answer["AccountLimit"]["ConcurrentExecutions"] = account_limit()
    answer["AccountLimit"]["UnreservedConcurrentExecutions"] = max(account_limit() - reserved, 0)
    return status, headers, json.dumps(answer).encode()


def _resource(execution: _Execution) -> dict[str, str]:
    """The dimensions of the version or alias with provisioned concurrency."""
    return {"FunctionName": execution.name, "Resource": f"{execution.name}:{execution.provisioned}"}


def _observe(execution: _Execution) -> None:
    """Record how many executions there are, of the account and of what the execution is of."""
    here = [one for one in list(_running.values()) if one.place == execution.place]
    mine = [one for one in here if one.name == execution.name]
    others = _used_by_others()
    _record({}, "ConcurrentExecutions", len(here) + others)
    _record({}, "UnreservedConcurrentExecutions", sum(not one.is_reserved for one in here) + others)
    function = {"FunctionName": execution.name}
    _record(function, "ConcurrentExecutions", len(mine))
    invoked = function | {"Resource": ":".join(execution.arn.split(":")[6:])}
    _record(invoked, "ConcurrentExecutions", sum(one.arn == execution.arn for one in mine))
    if execution.provisioned:
        owner = lambda_svc._functions.get(execution.name) or {}
        configured = owner.get("provisioned_concurrency", {}).get(execution.provisioned)
        busy = sum(one.provisioned == execution.provisioned and one.is_provisioned for one in mine)
        _record(_resource(execution), "ProvisionedConcurrentExecutions", busy)
        if configured:
            share = busy / configured["RequestedProvisionedConcurrentExecutions"]
            _record(_resource(execution), "ProvisionedConcurrencyUtilization", share)


def _record(dimensions: dict[str, str], metric: str, value: float) -> None:
    cloudwatch.record_metric("AWS/Lambda", metric, value, "Count", dimensions)


def _start_sampler() -> None:
    """Start to sample with the first execution; it ends after the last."""
    global _sampler
    with _lock:
        if _sampler is None:
            _sampler = threading.Thread(target=_sample, daemon=True, name="concurrency")
            _sampler.start()


def _sample() -> None:
    global _sampler
    while True:
        time.sleep(max(_SHORTEST, shortened(_SAMPLED_EVERY)))
        with _lock:
            kinds = {(one.place, one.name, one.provisioned): one for one in _running.values()}
            if not kinds:
                _sampler = None
                return
        for one in kinds.values():
            with request_scope(*one.place):
                _observe(one)
