"""Which statements of a policy apply to a request: principals, wildcards and policy variables.

Faithful to:
- Policy variables in `Resource`, `NotResource` and in string and ARN conditions: every condition key of the
  request that has one value, with a default (`${aws:PrincipalTag/team, 'none'}`) or without, and the
  characters `${*}`, `${?}` and `${$}`. Their values are never wildcards. A variable without a value equals
  nothing. In a policy whose `Version` is not 2012-10-17 they are plain text.
- `*` and `?` match every character, also a line break. ARN conditions compare the parts of an ARN one by one.
  A key with an empty list counts as absent.
- `aws:PrincipalArn` of a session of a role is the ARN of the role, with its path.
- A principal is compared exactly: an account, a user, a role with its path (for all its sessions), one
  session, or everyone. A part of it has no wildcards.
- `NotPrincipal`. A `Deny` exempts a user only if it also names the user's account, and a session only if it
  names the account, the role and the session: AWS "might" deny otherwise, and so it is denied here.
- Within an account, a trust policy that names a user, a role or a session itself is enough to assume the
  role, as every resource-based policy is. One that names the account needs an identity policy as well.
Not to: `CanonicalUser`, and principals of SAML providers.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import iam

from localaws.patching import Properties, around, changes, replaces

# In a pattern: a "*" or "?" that is no wildcard, and a variable without a value. No text contains them.
_STAR, _QUESTION_MARK, _NO_VALUE = "\ufdd0", "\ufdd1", "\ufdd2"
_LITERALS = {"*": _STAR, "?": _QUESTION_MARK}
_SPECIAL = str.maketrans(_LITERALS)
_PLAIN = str.maketrans({special: plain for plain, special in _LITERALS.items()})

_VARIABLE = re.compile(r"\$\{\s*(?P<key>[^,}\s]+)\s*(,\s*'(?P<default>[^']*)'\s*)?\}")
_WITH_VARIABLES = "2012-10-17"
_patterns: dict[tuple[str, bool], re.Pattern[str]] = {}

# Whether the trust policy must name the caller itself, as no identity policy allows it to assume the role.
_must_be_named: ContextVar[bool] = ContextVar("localaws_must_be_named", default=False)


# -- Wildcards


@replaces(iam_evaluator, "_fnmatch_compile")
def _fnmatch_compile(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    known = _patterns.get((pattern, ignore_case))
    if known is None:
        wildcards = {"*": ".*", "?": ".", _STAR: r"\*", _QUESTION_MARK: r"\?"}
        expression = "".join(wildcards.get(one) or re.escape(one) for one in pattern)
        known = re.compile(rf"(?:{expression})\Z", re.DOTALL | (re.IGNORECASE if ignore_case else 0))
        if len(_patterns) < 4096:
            _patterns[pattern, ignore_case] = known
    return known


def _same_arn(actual: str, expected: str) -> bool:
    """Whether an ARN matches a pattern, part by part. A pattern with fewer parts leaves the others open."""
    parts = expected.split(":", 5)
    if expected == "*" or not actual.startswith("arn:"):
        return bool(iam_evaluator.fnmatch_iam_cs(actual, expected))
    if len(parts) < 6 and not parts[-1].endswith("*"):
        return False
    return all(
        iam_evaluator.fnmatch_iam_cs(one, pattern)
        for one, pattern in zip(actual.split(":", 5), parts, strict=False)
    )


@changes(iam_evaluator, "_CONDITION_OPS")
def _condition_operators(stock: dict[str, Any]) -> dict[str, Any]:
    def differs(actual: str, expected: str) -> bool:
        return not _same_arn(actual, expected)

    like = dict.fromkeys(("arnequals", "arnlike"), _same_arn)
    return stock | like | dict.fromkeys(("arnnotequals", "arnnotlike"), differs)


@around(iam_evaluator, "_evaluate_single_condition")
def _evaluate_single_condition(
    stock: Callable[..., bool], operator: str, actual: Any, expected_values: list[str]
) -> bool:
    # A key with an empty list counts as absent.
    actual = None if actual == [] else actual
    return stock(operator, actual, expected_values)


# -- Policy variables


def resolved(text: str, request: iam_evaluator.EvalContext, *, pattern: bool = True) -> str:
    """A text with the values of its policy variables.

    Args:
        text: A resource, or the value of a condition.
        request: The request, which has the values.
        pattern: Whether `*` and `?` are wildcards in the text. They are none in a variable's value.
    """
    if "${" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        key, default = found["key"], found["default"]
        if key in ("*", "?", "$"):
            return key.translate(_SPECIAL)
        known = iam_evaluator._resolve_condition_key(key, request)
        if known is None or isinstance(known, list):
            return _NO_VALUE if default is None else default.translate(_SPECIAL)
        return str(known).translate(_SPECIAL)

    answer = _VARIABLE.sub(value, text)
    return answer if pattern else answer.translate(_PLAIN)


def applies_to_resource(statement: iam_evaluator.ParsedStatement, request: iam_evaluator.EvalContext) -> bool:
    """Whether a statement is about the resource of a request."""
    return bool(
        iam_evaluator._resource_matches(
            request.resource_arn,
            [resolved(one, request) for one in statement.resources],
            [resolved(one, request) for one in statement.not_resources],
        )
    )


def _applies(statement: iam_evaluator.ParsedStatement, request: iam_evaluator.EvalContext) -> bool:
    return bool(
        iam_evaluator._action_matches(request.action, statement.actions, statement.not_actions)
        and applies_to_resource(statement, request)
        and iam_evaluator._conditions_met(statement.conditions, request)
    )


@replaces(iam_evaluator, "_first_match")
def _first_match(
    ctx: iam_evaluator.EvalContext, stmts: list[iam_evaluator.ParsedStatement], effect: str
) -> iam_evaluator.ParsedStatement | None:
    return next((one for one in stmts if one.effect == effect and _applies(one, ctx)), None)


@around(iam_evaluator, "_conditions_met")
def _conditions_met(
    stock: Callable[..., bool], conditions: Properties, ctx: iam_evaluator.EvalContext
) -> bool:
    if "${" not in str(conditions):
        return stock(conditions, ctx)
    with_values: Properties = {}
    for operator, keys in conditions.items():
        kind = operator.lower().rpartition(":")[2]
        if not isinstance(keys, dict) or not kind.startswith(("string", "arn")):
            with_values[operator] = keys
            continue
        pattern = "like" in kind or kind.startswith("arn")
        with_values[operator] = {
            key: [resolved(str(one), ctx, pattern=pattern) for one in _listed(values)]
            for key, values in keys.items()
        }
    return stock(with_values, ctx)


@around(iam_evaluator, "parse_policy_document")
def _parse_policy_document(stock: Callable[..., Any], doc: Any) -> Any:
    document = document_of(doc)
    if "${" in str(document) and document.get("Version") != _WITH_VARIABLES:
        # Escaped, they come out as they are written.
        document = json.loads(json.dumps(document).replace("${", "${$}{"))
    return stock(document)


@around(iam_evaluator, "_resolve_condition_key")
def _resolve_condition_key(stock: Callable[..., Any], key: str, ctx: iam_evaluator.EvalContext) -> Any:
    name = key.lower()
    if name == "aws:principalarn":
        return role_of(ctx.principal_arn) or ctx.principal_arn
    if name == "aws:principalisawsservice":
        return str(ctx.principal_type == "Service").lower()
    return stock(key, ctx)


# -- Principals


_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/.+")


def role_of(principal: str) -> str | None:
    """The ARN of the role that a session is of, with its path; None for what is no session."""
    found = _SESSION.fullmatch(principal)
    if not found:
        return None
    partition, account, name = found.groups()
    role = iam._roles.get_scoped(account, None, name) or {}
    return str(role.get("Arn") or f"arn:{partition}:iam::{account}:role/{name}")


def _account_of(principal: str) -> str:
    return principal.split(":")[4] if principal.count(":") >= 5 else ""


def _is_named(one: str, caller: str) -> bool:
    """Whether one entry of a principal is the caller, its role, its account or everyone."""
    return one == "*" or _names_account(one, caller) or one in (caller, role_of(caller))


def _names_account(one: str, caller: str) -> bool:
    account = one if re.fullmatch(r"\d{12}", one) else ""
    if re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:root", one):
        account = _account_of(one)
    return bool(account) and account == _account_of(caller)


@replaces(iam_evaluator, "_principal_matches")
def _principal_matches(principal: Any, caller_arn: str) -> bool:
    entries = _entries(principal, "AWS")
    if any(_is_named(one, caller_arn) for one in entries):
        return True
    # The emulator's services call each other as the root user.
    return bool(_entries(principal, "Service", everyone=False)) and caller_arn.endswith(":root")


def _entries(principal: Any, kind: str, *, everyone: bool = True) -> list[str]:
    """The entries of one kind in a `Principal` or `NotPrincipal`."""
    if isinstance(principal, dict):
        return [str(one) for one in _listed(principal.get(kind, []))]
    return [str(one) for one in _listed(principal)] if principal and everyone else []


def _is_exempt(excepted: Any, caller: str, service: str | None) -> bool:
    """Whether a `Deny` with this `NotPrincipal` exempts the caller: it names the caller on each level."""
    if service and iam_evaluator._service_principal_matches(excepted, service):
        return True
    entries = _entries(excepted, "AWS")
    names_account = any(_names_account(one, caller) for one in entries)
    if caller.endswith(":root"):
        return names_account
    levels = {caller, role_of(caller) or caller}
    return "*" in entries or (names_account and levels <= set(entries))


def concerns(
    statement: Properties, caller: str, service: str | None, *, named_only: bool, direct_only: bool
) -> bool:
    """Whether a statement of a resource-based policy is about the caller, by its principals."""
    if "NotPrincipal" in statement:
        excepted = statement["NotPrincipal"]
        if statement.get("Effect") == "Deny":
            return not _is_exempt(excepted, caller, service)
        by_service = bool(service) and iam_evaluator._service_principal_matches(excepted, service)
        return not direct_only and not by_service and not _principal_matches(excepted, caller)
    principal = statement.get("Principal", {})
    if direct_only:
        return bool(iam_evaluator._names_caller_directly(principal, caller))
    if named_only:
        return bool(iam_evaluator._names_caller(principal, caller))
    if service and iam_evaluator._service_principal_matches(principal, service):
        return True
    return any(_is_named(one, caller) for one in _entries(principal, "AWS"))


@replaces(iam_evaluator, "evaluate_resource_policy")
def _evaluate_resource_policy(
    doc: str | dict[str, Any] | None,
    ctx: iam_evaluator.EvalContext,
    service: str | None = None,
    named_only: bool = False,
    direct_only: bool = False,
) -> iam_evaluator.EvalResult:
    document = document_of(doc)
    statements = [
        one
        for one in _listed(document.get("Statement", []))
        if isinstance(one, dict)
        and concerns(one, ctx.principal_arn, service, named_only=named_only, direct_only=direct_only)
    ]
    parsed = iam_evaluator.parse_policy_document(document | {"Statement": statements})
    # Not by `evaluate`, which counts what it allows as a use of the caller's own policies.
    for effect in ("Deny", "Allow"):
        if match := iam_evaluator._first_match(ctx, parsed, effect):
            return iam_evaluator.EvalResult(effect, ctx.principal_arn, match.sid)
    return iam_evaluator.EvalResult("ImplicitDeny", ctx.principal_arn)


# -- Trust policies


@around(iam_evaluator, "enforce", after=["iam.evaluation"])
def _enforce(
    stock: Callable[..., Any],
    access_key_id: str,
    iam_action: str,
    service: str,
    region: str,
    resource_arn: str = "*",
    service_context: dict[str, Any] | None = None,
) -> Any:
    """Let the trust policy decide, with all its conditions, for a caller without a policy that allows it."""
    _must_be_named.set(False)
    denied = stock(access_key_id, iam_action, service, region, resource_arn, service_context)
    if iam_action != "sts:AssumeRole" or getattr(denied, "decision", "") != "ImplicitDeny":
        return denied
    caller = iam_evaluator.resolve_principal(access_key_id or "", get_account_id())
    if isinstance(caller, iam_evaluator.AuthError) or _account_of(resource_arn) != caller.account:
        return denied
    role = iam._roles.get_scoped(caller.account, None, resource_arn.rsplit("/", 1)[-1]) or {}
    document = document_of(role.get("AssumeRolePolicyDocument"))
    principals = [one.get("Principal") for one in _listed(document.get("Statement", []))]
    within_limits = all(
        any(statement.effect == "Allow" for statement in _matching(layer, caller, resource_arn, region))
        for layer in caller.limits
    )
    named = iam_evaluator._names_caller if within_limits else iam_evaluator._names_caller_directly
    if not any(named(one, caller.arn) for one in principals if one):
        return denied
    _must_be_named.set(True)
    return None


def _matching(
    layer: list[list[iam_evaluator.ParsedStatement]],
    caller: iam_evaluator.PrincipalInfo,
    role: str,
    region: str,
) -> list[iam_evaluator.ParsedStatement]:
    request = iam_evaluator.EvalContext(
        principal_arn=caller.arn,
        principal_type=caller.type,
        principal_account=caller.account,
        action="sts:AssumeRole",
        resource_arn=role,
        region=region,
        principal_keys=caller.keys,
    )
    return [one for statements in layer for one in statements if _applies(one, request)]


@around(iam_evaluator, "evaluate_trust_policy")
def _evaluate_trust_policy(
    stock: Callable[..., bool],
    trust_doc: Any,
    caller_arn: str,
    ctx: iam_evaluator.EvalContext | None = None,
) -> bool:
    if ctx is None or ctx.action == "sts:AssumeRoleWithWebIdentity":
        return stock(trust_doc, caller_arn, ctx)
    # A trust policy is the resource-based policy of its role.
    allowed = _evaluate_resource_policy(trust_doc, ctx).decision == "Allow"
    if allowed and _must_be_named.get():
        return bool(_evaluate_resource_policy(trust_doc, ctx, named_only=True).decision == "Allow")
    return bool(allowed)


def document_of(policy: Any) -> dict[str, Any]:
    """A policy, as text or parsed; an empty one if it is none."""
    if isinstance(policy, str):
        try:
            policy = json.loads(policy)
        except ValueError:
            policy = {}
    return policy if isinstance(policy, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
