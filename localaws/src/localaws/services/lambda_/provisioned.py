"""Provisioned concurrency of versions and aliases: what may have it, and environments started in advance.

The emulator accepts provisioned concurrency for everything, also for `$LATEST`, starts no environment, and
lists nothing.

Faithful to:
- A provisioned concurrency configuration is for a published version, or for an alias of published versions.
  It is at least 1, not more than the function's reserved concurrency minus its other configurations, and not
  on both an alias and its version. Without reserved concurrency, 100 executions of the account stay
  unreserved.
- It is IN_PROGRESS until the environments have run the code outside the handler, and then READY. What was
  available before stays available. If that code fails, it is FAILED with a reason. CloudFormation waits for
  an alias. When an alias gets another version, the environments of that one are started.
- Functions see `AWS_LAMBDA_INITIALIZATION_TYPE` `provisioned-concurrency`. An invocation that spills over
  runs in another environment, which is `on-demand`.
Not to: more than four environments that are started in advance (the others start with their first
invocation, and so do all of functions with a custom runtime, a wrapper script or an extension); functions in
Node.js, whose environments are neither started in advance nor kept apart; an alias's number is not split
between two versions by their weights; environments that Lambda replaces after hours; CloudFormation does not
wait for a version; pages of the list.

https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
https://docs.aws.amazon.com/lambda/latest/api/API_PutProvisionedConcurrencyConfig.html
https://docs.aws.amazon.com/lambda/latest/api/API_GetProvisionedConcurrencyConfig.html
https://docs.aws.amazon.com/lambda/latest/api/API_ListProvisionedConcurrencyConfigs.html
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from ministack.core.responses import error_response_json, request_scope
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.engines.python_runtime.process import ExecutionEnvironment
from localaws.patching import Created, Handler, Properties, around, on_reset, resource
from localaws.services.lambda_ import concurrency
from localaws.services.lambda_.execution import acquire

logger = logging.getLogger("localaws.lambda")

Record = dict[str, Any]
_STARTED = 4
_LEAST_UNRESERVED = 100
_INIT_SECONDS = 60.0


def least_unreserved() -> int:
    """How many executions of an account always stay unreserved; a new account may not have that many."""
    return min(_LEAST_UNRESERVED, concurrency.account_limit())


_LIST = re.compile(r".*/functions/([^/]+)/provisioned-concurrency/?")


@around(lambda_svc, "handle_request", after=["lambda_.code_signing_configs"])
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Any:
    """ListProvisionedConcurrencyConfigs, on one page."""
    found = _LIST.fullmatch(unquote(path)) if method == "GET" and "List" in query_params else None
    if found is None:
        return await stock(method, path, headers, body, query_params)
    name, _ = lambda_svc._resolve_request_scoped_name_and_qualifier(found[1])
    arn, function = lambda_svc._func_arn(name), lambda_svc._functions.get(name)
    if function is None:
        return error_response_json("ResourceNotFoundException", f"Function not found: {arn}", 404)
    configured = function.get("provisioned_concurrency", {})
    listed = [{"FunctionArn": f"{arn}:{qualifier}", **config} for qualifier, config in configured.items()]
    return lambda_svc.json_response({"ProvisionedConcurrencyConfigs": listed})


# --- Rules


@around(lambda_svc, "_put_provisioned_concurrency")
def _put(stock: Callable[..., Any], func_name: str, qualifier: str, data: Record) -> Any:
    owner = lambda_svc._functions.get(func_name)
    problem = _problem(func_name, owner, qualifier, data) if owner else None
    if problem:
        return error_response_json("InvalidParameterValueException", problem, 400)
    before = dict((owner or {}).get("provisioned_concurrency", {}).get(qualifier) or {})
    answer = stock(func_name, qualifier, data)
    if owner is None or answer[0] >= 400:
        return answer
    config = owner["provisioned_concurrency"][qualifier]
    ready = int(before.get("AvailableProvisionedConcurrentExecutions") or 0)
    _start(owner, qualifier, min(ready, config["RequestedProvisionedConcurrentExecutions"]))
    return answer[0], answer[1], lambda_svc.json_response(config)[2]


def _problem(name: str, owner: Record, qualifier: str, data: Record) -> str | None:
    if qualifier in ("", "$LATEST", None) or "$LATEST" in _versions_behind(owner, qualifier):
        return "Provisioned Concurrency Configs cannot be applied to unpublished function versions"
    given_number = data.get("ProvisionedConcurrentExecutions") or 0
    if not str(given_number).isdecimal() or int(given_number) < 1:
        return f"ProvisionedConcurrentExecutions is {given_number}: it must be an integer from 1"
    wanted = int(given_number)
    given = owner["provisioned_concurrency"]
    others = {name: config for name, config in given.items() if name != qualifier}
    versions = _versions_behind(owner, qualifier)
    if versions & {version for name in others for version in _versions_behind(owner, name)}:
        return (
            "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
        )
    reserved = lambda_svc._reserved_concurrency(owner, owner["config"])
    total = wanted + sum(each["RequestedProvisionedConcurrentExecutions"] for each in others.values())
    if reserved is not None and total > reserved:
        return (
            "Requested Provisioned Concurrency should not be greater than the "
            "reservedConcurrentExecution for function"
        )
    left = concurrency.account_limit() - concurrency.set_aside(without=name) - total
    if reserved is None and left < least_unreserved():
        return (
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{least_unreserved()}]."
        )
    return None


def _versions_behind(owner: Record, qualifier: str) -> set[str]:
    """The version that a qualifier names, or all versions that an alias routes to."""
    alias = owner["aliases"].get(qualifier)
    if not alias:
        return {qualifier}
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return {alias["FunctionVersion"], *weights}


# --- Environments


def _start(owner: Record, qualifier: str, ready: int) -> None:
    """Start environments of the version behind a qualifier, of which some may be ready."""
    config = owner["provisioned_concurrency"][qualifier]
    requested = config["RequestedProvisionedConcurrentExecutions"]
    config |= {
        "AvailableProvisionedConcurrentExecutions": ready,
        "AllocatedProvisionedConcurrentExecutions": ready,
        "Status": "IN_PROGRESS",
    }
    config.pop("StatusReason", None)
    alias = owner["aliases"].get(qualifier)
    version = owner["versions"][alias["FunctionVersion"] if alias else qualifier]

    def run() -> None:
        problem = _initialized(version, min(requested, _STARTED))
        if _threads.get(key) is not thread:
            return  # there is another configuration by now
        if problem:
            config.update({"Status": "FAILED", "StatusReason": problem})
            return
        config["AvailableProvisionedConcurrentExecutions"] = requested
        config["AllocatedProvisionedConcurrentExecutions"] = requested
        config["Status"] = "READY"

    key = _key(owner, qualifier)
    _threads[key] = thread = threading.Thread(target=run, daemon=True, name="provisioned concurrency")
    thread.start()


#: What starts the environments of each configuration.
_threads: dict[str, threading.Thread] = {}
on_reset(_threads.clear)


def _key(owner: Record, qualifier: str) -> str:
    return f"{owner['config']['FunctionArn']}:{qualifier}"


def _initialized(version: Record, count: int) -> str | None:
    """Start environments and wait until they are initialized; returns why one is not."""
    config = version["config"]
    _, _, _, region, account, *_ = config["FunctionArn"].split(":")
    leased = []
    concurrency.provisioned.set(True)
    try:
        with request_scope(account, region):
            for _ in range(count):
                environment = acquire(config, version.get("code_zip") or b"")
                if environment is None:
                    break
                leased.append(environment)
                if isinstance(environment, ExecutionEnvironment):
                    environment.initialize()
    except Exception as error:
        logger.warning("%s: %s", config["FunctionArn"], error)
        return "FUNCTION_ERROR_INIT_FAILURE"
    finally:
        for environment in leased:
            lambda_svc.release_worker(environment)
    return None


@around(lambda_svc, "_update_alias", after=["lambda_.aliases"])
def _update_alias(stock: Callable[..., Any], func_name: str, alias_name: str, data: Record) -> Any:
    owner = lambda_svc._functions.get(func_name) or {}
    before = dict(owner.get("aliases", {}).get(alias_name) or {})
    answer = stock(func_name, alias_name, data)
    after = owner.get("aliases", {}).get(alias_name) or {}
    moved = after.get("FunctionVersion") != before.get("FunctionVersion")
    if answer[0] < 400 and moved and alias_name in owner["provisioned_concurrency"]:
        _start(owner, alias_name, 0)
    return answer


_ALIAS = resource("AWS::Lambda::Alias", after=["lambda_.aliases", "codedeploy.aliases"])


@_ALIAS.create
def _create_in_template(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    made = stock(logical_id, properties, stack)
    _wait(properties)
    return made


@_ALIAS.update
def _update_in_template(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    made = stock(physical_id, old, new, stack, logical_id)
    _wait(new)
    return made


def _wait(properties: Properties) -> None:
    """Wait until the provisioned concurrency of an alias is ready."""
    function = provisioners._lambda_function_for_cfn_ref(properties.get("FunctionName", ""))[0] or {}
    name = str(properties.get("Name"))
    config = function.get("provisioned_concurrency", {}).get(name)
    thread = _threads.get(_key(function, name)) if config else None
    if config and thread:
        thread.join(_INIT_SECONDS)
        if config["Status"] == "FAILED":
            raise ValueError(f"AWS::Lambda::Alias: provisioned concurrency failed: {config['StatusReason']}")
