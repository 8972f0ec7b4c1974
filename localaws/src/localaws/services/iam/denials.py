"""Why a request was denied: which policy has no statement for it, or has one that denies it.

Faithful to: the order in which AWS decides. An explicit deny is named first; then the policies without a
statement that allows the action, the resource or the conditions; then the permissions boundary and session
policies, which limit what the policies allow.
Not to: the words. AWS says in the error message less than is known here, and never which resource or
condition of a statement did not match.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_evaluator

from localaws import journal
from localaws.patching import around
from localaws.services.iam.statements import applies_to_resource

_Layer = Sequence[Sequence[iam_evaluator.ParsedStatement]]


_caller: ContextVar[Any] = ContextVar("localaws_caller", default=None)


@around(iam_evaluator, "resolve_principal")
def _resolve_principal(stock: Callable[..., Any], access_key_id: str, *args: Any, **more: Any) -> Any:
    """Remember the caller, which `enforce` looks up."""
    principal = stock(access_key_id, *args, **more)
    _caller.set(principal)
    return principal


@around(iam_evaluator, "enforce", after=["iam.evaluation", "iam.statements"])
def _enforce(
    stock: Callable[..., Any],
    access_key_id: str,
    iam_action: str,
    service: str,
    region: str,
    resource_arn: str = "*",
    service_context: dict[str, Any] | None = None,
) -> Any:
    """Record the call, and why it was denied."""
    _caller.set(None)
    denied = stock(access_key_id, iam_action, service, region, resource_arn, service_context)
    caller = _caller.get()
    if not isinstance(caller, iam_evaluator.PrincipalInfo):  # anonymous, or no principal at all
        return denied
    journal.calls.add(caller.arn, iam_action, resource_arn, allowed=denied is None)
    if isinstance(denied, iam_evaluator.EvalResult):
        request = iam_evaluator.EvalContext(
            principal_arn=caller.arn,
            principal_type=caller.type,
            principal_account=caller.account,
            action=iam_action,
            resource_arn=resource_arn,
            region=region,
            service_context={key.lower(): value for key, value in (service_context or {}).items()},
            principal_keys=caller.keys,
        )
        record(request, denied, caller.policies or [], caller.limits)
    return denied


@around(iam_evaluator, "evaluate")
def _evaluate(
    stock: Callable[..., Any], ctx: iam_evaluator.EvalContext, policies: _Layer, *limits: _Layer
) -> Any:
    """Record which permission was used."""
    result = stock(ctx, policies, *limits)
    if result.decision == "Allow":
        principal = ctx.principal_arn
        if ":assumed-role/" in principal:
            principal = principal.rpartition("/")[0]
        journal.uses.add(principal, ctx.action, ctx.resource_arn)
    return result


def record(
    request: iam_evaluator.EvalContext,
    denied: iam_evaluator.EvalResult,
    policies: _Layer,
    limits: Sequence[_Layer],
) -> None:
    """Add a denial of a role or user to the list.

    Args:
        request: What was asked for.
        denied: The decision.
        policies: The identity policies of the principal.
        limits: Its permissions boundary, and session policies.
    """
    why = _why(request, denied, policies, limits)
    journal.denials.add(request.principal_arn, request.action, request.resource_arn, why)


def _why(
    request: iam_evaluator.EvalContext,
    denied: iam_evaluator.EvalResult,
    policies: _Layer,
    limits: Sequence[_Layer],
) -> str:
    if denied.decision == "Deny":
        named = f" {denied.matched_sid!r}" if denied.matched_sid else ""
        if denied.resource_policy_arn:
            return f"a statement{named} of the policy of {denied.resource_policy_arn} denies it"
        return f"a statement{named} of an identity policy, boundary or session policy denies it"
    about = [
        one
        for policy in policies
        for one in policy
        if one.effect == "Allow"
        and iam_evaluator._action_matches(request.action, one.actions, one.not_actions)
    ]
    if not about:
        return "no policy of the principal allows this action"
    matching = [one for one in about if applies_to_resource(one, request)]
    if not matching:
        return f"its policies allow this action only on {_listed(about)}"
    if not any(iam_evaluator._conditions_met(one.conditions, request) for one in matching):
        conditions = "; ".join(json.dumps(one.conditions) for one in matching)
        return f"its policies allow it only under conditions that are not met: {conditions}"
    if limits:
        return "its policies allow it, but its permissions boundary or a session policy does not"
    return "its policies allow it, but the policy of the resource does not"


def _listed(statements: Sequence[iam_evaluator.ParsedStatement]) -> str:
    resources = [name for one in statements for name in one.resources]
    others = [f"all but {name}" for one in statements for name in one.not_resources]
    return ", ".join(dict.fromkeys(resources + others))
