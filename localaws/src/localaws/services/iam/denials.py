"""Why a request was denied: the statements that were looked at, and the one that is missing.

Faithful to: the order in which AWS decides. An explicit deny is named first; then the policies without a
statement that allows the action, the resource or the conditions; then the permissions boundary and session
policies, which limit what the policies allow; then the policy of the resource, which must allow the request
for a service, for another account, and for keys and roles.
Not to: the words. AWS says in the error message less than is known here, and never which resource or
condition of a statement did not match. Service control policies, which do not exist here.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import request_scope
from ministack.services import iam, s3, sqs, sts, tagging

from localaws import journal
from localaws.explanations import Explanation, Layer, Mismatch, Statement
from localaws.patching import around
from localaws.services.iam.grants import grant
from localaws.services.iam.policy_documents import listed
from localaws.services.iam.statements import applies_to_resource, concerns, document_of

_caller: ContextVar[Any] = ContextVar("localaws_caller", default=None)

_LAYERS: Mapping[str, Layer] = {"kms": "key policy", "sts": "trust policy"}
_OF_RESOURCES: tuple[Layer, ...] = ("resource policy", *_LAYERS.values())
_LIMITS: tuple[Layer, ...] = ("permissions boundary", "session policy")


# Services whose resources have policies that another account's request needs.
_WITH_POLICIES = frozenset(
    {"s3", "sqs", "sns", "lambda", "kms", "secretsmanager", "events", "ecr", "dynamodb", "kinesis"}
)


@dataclass(frozen=True)
class _Policy:
    """A policy that is looked at.

    Args:
        layer: What kind it is.
        name: What to call it.
        document: Its statements.
        arn: Its ARN, if it has one.
        owner: The account that owns the resource, if it is the policy of one.
    """

    layer: Layer
    name: str
    document: Any
    arn: str = ""
    owner: str = ""


# --- Requests of principals


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
        sent = {key.lower(): value for key, value in (service_context or {}).items()}
        tags = {f"aws:resourcetag/{key}".lower(): value for key, value in _tags(resource_arn).items()}
        request = iam_evaluator.EvalContext(
            principal_arn=caller.arn,
            principal_type=caller.type,
            principal_account=caller.account,
            action=iam_action,
            resource_arn=resource_arn,
            region=region,
            service_context={"aws:tagkeys": None, **tags, **sent},
            principal_keys=caller.keys,
        )
        record(request, access_key=access_key_id)
    return denied


def _tags(arn: str) -> dict[str, str]:
    return dict(tagging.resource_tags(arn) or {})


@around(iam_evaluator, "evaluate_trust_policy", after=["iam.statements"])
def _evaluate_trust_policy(
    stock: Callable[..., bool],
    trust_doc: Any,
    caller_arn: str,
    ctx: iam_evaluator.EvalContext | None = None,
) -> bool:
    """Record a role that does not trust the caller."""
    trusted = stock(trust_doc, caller_arn, ctx)
    if not trusted and ctx is not None and ctx.action == "sts:AssumeRole":
        record(ctx)
    return trusted


@around(iam_evaluator, "evaluate")
def _evaluate(stock: Callable[..., Any], ctx: iam_evaluator.EvalContext, policies: Any, *limits: Any) -> Any:
    """Record which permission was used."""
    result = stock(ctx, policies, *limits)
    if result.decision == "Allow":
        principal = ctx.principal_arn
        if ":assumed-role/" in principal:
            principal = principal.rpartition("/")[0]
        journal.uses.add(journal.Used(principal, ctx.action, ctx.resource_arn))
    return result


def record(
    request: iam_evaluator.EvalContext,
    *,
    policy: tuple[Any, str] | None = None,
    access_key: str = "",
) -> None:
    """Add a denial of a role or user to the list.

    Args:
        request: What was asked for.
        policy: The policy of the resource and the account that owns it, if the emulator does not find it.
        access_key: The key of the caller, if it is known: its session may have policies.
    """
    policies = [*_of_principal(request, access_key), *_of_resource(request, policy)]
    _add(request, request.principal_arn, policies, "")


def _of_principal(request: iam_evaluator.EvalContext, access_key: str) -> Iterator[_Policy]:
    """The policies of the principal, its permissions boundary, and those of its session."""
    account, name = request.principal_account, request.principal_arn.rpartition(":")[2]
    if ":assumed-role/" in request.principal_arn:
        record = iam._roles.get_scoped(account, None, name.split("/")[1]) or {}
        inline = record.get("InlinePolicies") or {}
    else:
        user = name.rpartition("/")[2]
        record = iam._users.get_scoped(account, None, user) or {}
        inline = dict(iam._user_inline_policies.get(user) or {})
        for group, members in iam._groups.items():
            if user in members.get("Users", []):
                of_group = iam._group_inline_policies.get(group) or {}
                inline |= {f"{one} of group {group}": document for one, document in of_group.items()}
                record = {**record, "AttachedPolicies": _attached(record) + _attached(members)}
    for one, document in inline.items():
        yield _Policy("identity policy", f"inline policy {one}", document)
    for arn in _attached(record):
        yield _managed("identity policy", "managed policy", arn, account)
    if boundary := record.get("PermissionsBoundary"):
        yield _managed("permissions boundary", "permissions boundary", boundary, account)
    passed = (sts._sessions.get(access_key) or {}).get("SessionPolicies")
    if passed is not None:
        if passed.get("Policy"):
            yield _Policy("session policy", "session policy", passed["Policy"])
        for arn in passed.get("PolicyArns", []):
            yield _managed("session policy", "session policy", arn, account)


def _attached(record: Mapping[str, Any]) -> list[str]:
    return list(record.get("AttachedPolicies") or [])


def _managed(layer: Layer, kind: str, arn: str, account: str) -> _Policy:
    document = iam_evaluator._resolve_managed_policy_document(arn, account)
    return _Policy(layer, f"{kind} {arn}", document, arn)


def _of_resource(request: iam_evaluator.EvalContext, given: tuple[Any, str] | None) -> Iterator[_Policy]:
    """The policy of the resource, if it has one; the trust policy of a role."""
    service, arn = request.action.partition(":")[0], request.resource_arn
    found = given
    if found is None and request.action == "sts:AssumeRole":
        owner = arn.split(":")[4] if arn.count(":") >= 5 else ""
        role = iam._roles.get_scoped(owner, None, arn.rpartition("/")[2])
        found = (role.get("AssumeRolePolicyDocument"), owner) if role else None
    elif found is None:
        # The service in the ARN of an API is that of its calls.
        found = iam_evaluator._resource_policy("apigateway" if service == "execute-api" else service, arn)
    owner = _owner(arn)
    if found is None and owner and owner != request.principal_account and service in _WITH_POLICIES:
        with request_scope(owner, request.region):  # the caller's scope does not have it
            found = iam_evaluator._resource_policy(service, arn) or (None, owner)
    if found is not None:
        document, owner = found
        yield _resource(service, arn, document, owner or "")


def _owner(arn: str) -> str:
    """The account that has a resource; empty if that is not known."""
    parts = arn.split(":", 5)
    if parts[2:3] == ["s3"] and len(parts) == 6 and not parts[4]:
        return s3._bucket_owner_account(parts[5].partition("/")[0]) or ""
    return parts[4] if len(parts) == 6 else ""


def _resource(service: str, arn: str, document: Any, owner: str = "") -> _Policy:
    layer = _LAYERS.get(service, "resource policy")
    if service == "s3" and ":accesspoint/" not in arn:  # the bucket has it
        arn = arn.partition("/")[0]
    name = f"{layer if service in _LAYERS else 'policy'} of {arn}"
    return _Policy(layer, name, document, arn, owner)


# --- Requests of services


def record_of_service(request: iam_evaluator.EvalContext, service: str, policy: Any) -> None:
    """Add a denial of a service to the list.

    Args:
        request: What it asked for, with the resource that it asks for in `aws:SourceArn`.
        service: Its principal.
        policy: The policy of the resource, which does not allow it; the trust policy of a role.
    """
    found = _resource(request.action.partition(":")[0], request.resource_arn, policy)
    _add(request, service, [found], service)


@around(sqs, "queue_policy_allows")
def _queue_policy_allows(
    stock: Callable[..., bool], queue_arn: str, service: str, source_arn: str, source_account: str
) -> bool:
    """Record a queue whose policy does not admit a service."""
    allowed = stock(queue_arn, service, source_arn, source_account)
    found = None if allowed else sqs.queue_policy_for_arn(queue_arn)
    if found is not None:
        request = iam_evaluator.EvalContext(
            principal_arn="*",
            principal_type="Service",
            principal_account="",
            action="sqs:SendMessage",
            resource_arn=queue_arn,
            region=queue_arn.split(":")[3],
            service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": source_account},
        )
        record_of_service(request, service, found[0])
    return allowed


# --- What is found


def _add(
    request: iam_evaluator.EvalContext, principal: str, policies: Sequence[_Policy], service: str
) -> None:
    statements = [one for policy in policies for one in _looked_at(policy, request, service)]
    missing = [] if any(map(_denies, statements)) else _missing(request, policies, statements, service)
    journal.denials.add(
        Explanation(
            principal=principal,
            action=request.action,
            resource=request.resource_arn,
            why=_why(request, statements, missing, service),
            conditions=_conditions(request, policies),
            statements=tuple(statements),
            grants=tuple(
                grant(request, one.layer, one.arn, service)
                for one in missing
                if not any(each.layer == one.layer and _only_conditions(each, service) for each in statements)
            ),
        )
    )


def _looked_at(policy: _Policy, request: iam_evaluator.EvalContext, service: str) -> Iterator[Statement]:
    document = document_of(policy.document)
    for number, statement in enumerate(listed(document.get("Statement")), 1):
        for parsed in iam_evaluator.parse_policy_document({**document, "Statement": [statement]}):
            wrong = [*_wrong_principal(policy, statement, request, service), *_mismatches(parsed, request)]
            yield Statement(policy.name, policy.layer, number, parsed.sid, parsed.effect, tuple(wrong))


def _wrong_principal(
    policy: _Policy, statement: dict[str, Any], request: iam_evaluator.EvalContext, service: str
) -> Iterator[Mismatch]:
    if not ({"Principal", "NotPrincipal"} & set(statement)):
        return
    if not concerns(statement, request.principal_arn, service or None, named_only=False, direct_only=False):
        negated = "NotPrincipal" in statement
        named = statement["NotPrincipal" if negated else "Principal"]
        kinds = named.values() if isinstance(named, dict) else [named]
        expected = [each for values in kinds for each in listed(values)]
        yield Mismatch("Principal", _texts(expected, negated=negated), service or request.principal_arn)


def _mismatches(
    statement: iam_evaluator.ParsedStatement, request: iam_evaluator.EvalContext
) -> Iterator[Mismatch]:
    if not iam_evaluator._action_matches(request.action, statement.actions, statement.not_actions):
        expected = statement.actions or statement.not_actions
        yield Mismatch("Action", _texts(expected, negated=not statement.actions), request.action)
    if not applies_to_resource(statement, request):
        expected = statement.resources or statement.not_resources
        yield Mismatch("Resource", _texts(expected, negated=not statement.resources), request.resource_arn)
    for operator, keys in statement.conditions.items():
        for key, values in keys.items() if isinstance(keys, dict) else ():
            if not iam_evaluator._conditions_met({operator: {key: values}}, request):
                yield Mismatch("Condition", _texts(listed(values)), _value(key, request), f"{operator} {key}")


def _texts(values: Sequence[Any], *, negated: bool = False) -> tuple[str, ...]:
    return tuple(f"{'not ' if negated else ''}{value}" for value in values)


def _value(key: str, request: iam_evaluator.EvalContext) -> str:
    value = iam_evaluator._resolve_condition_key(key, request)
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _conditions(request: iam_evaluator.EvalContext, policies: Sequence[_Policy]) -> dict[str, str]:
    """The condition keys that statements about the action name, and what a service sends with its call."""
    parsed = (one for policy in policies for one in iam_evaluator.parse_policy_document(policy.document))
    keys = [
        key
        for one in parsed
        if iam_evaluator._action_matches(request.action, one.actions, one.not_actions)
        for named in one.conditions.values()
        if isinstance(named, dict)
        for key in named
    ]
    known = {key.lower(): key for key in [*keys, "aws:SourceArn", "aws:SourceAccount"]}
    sent = [key for key in ("aws:sourcearn", "aws:sourceaccount") if key in request.service_context]
    return {known[key]: _value(key, request) for key in dict.fromkeys([*map(str.lower, keys), *sent])}


def _only_conditions(statement: Statement, service: str) -> bool:
    """Whether only its conditions are not met: a grant without them would open what they protect.

    The grant for a service has conditions of its own, with the resource that the service asks for.
    """
    keys = {one.key.partition(" ")[2].lower() for one in statement.mismatches}
    own = {"aws:sourcearn", "aws:sourceaccount"} if service else set()
    return statement.is_unmet and not keys <= own


def _denies(statement: Statement) -> bool:
    return statement.effect == "Deny" and statement.applies


def _missing(
    request: iam_evaluator.EvalContext,
    policies: Sequence[_Policy],
    statements: Sequence[Statement],
    service: str,
) -> list[_Policy]:
    """The policies that need a further statement, so that the request is allowed."""

    def allows(layer: Layer) -> bool:
        return any(one.layer == layer and one.effect == "Allow" and one.applies for one in statements)

    def first(layer: Layer) -> _Policy:
        return next((one for one in policies if one.layer == layer), _Policy(layer, layer, None))

    of_resource = next((one for one in policies if one.layer in _OF_RESOURCES), None)
    if service and of_resource:
        return [of_resource]
    missing = []
    within_account = of_resource is None or of_resource.owner in ("", request.principal_account)
    required = of_resource is not None and of_resource.layer != "resource policy"
    named = False
    if of_resource and (required or not within_account) and not allows(of_resource.layer):
        missing.append(of_resource)
        named = within_account  # a statement that names a principal of its account is enough
    if not allows("identity policy") and not named:
        missing.append(first("identity policy"))
    present = {one.layer for one in policies}
    return missing + [first(layer) for layer in _LIMITS if layer in present and not allows(layer)]


def _why(
    request: iam_evaluator.EvalContext,
    statements: Sequence[Statement],
    missing: Sequence[_Policy],
    service: str,
) -> str:
    """The cause in a clause."""
    if denying := next(filter(_denies, statements), None):
        sid = f" {denying.sid!r}" if denying.sid else ""
        return f"a statement{sid} of the {denying.policy} denies it"
    if service:
        source = request.service_context.get("aws:sourcearn")
        account = request.service_context.get("aws:sourceaccount")
        origin = f" for {source} of account {account}" if source else ""
        kind = _resource(request.action.partition(":")[0], request.resource_arn, None)
        return f"no statement of the {kind.name} allows it{origin}"
    own = [one for one in statements if one.layer == "identity policy" and one.effect == "Allow"]
    lacking = {one.layer: one.name for one in missing}
    if any(one.applies for one in own):
        if set(lacking) & set(_LIMITS):
            return "its policies allow it, but its permissions boundary or a session policy does not"
        names = [name for layer, name in lacking.items() if layer in _OF_RESOURCES]
        return f"its policies allow it, but the {names[0] if names else 'policy of the resource'} does not"
    if "identity policy" not in lacking:  # a statement in the policy of the resource is enough
        names = [name for layer, name in lacking.items() if layer in _OF_RESOURCES]
        if names:
            return f"neither a policy of the principal nor the {names[0]} allows it"
        return "its permissions boundary or a session policy does not allow it"
    about = [one for one in own if not _wrong(one, "Action")]
    if not about:
        return "no policy of the principal allows this action"
    matching = [one for one in about if not _wrong(one, "Resource")]
    if not matching:
        names = [name for one in about for each in _wrong(one, "Resource") for name in each.expected]
        shown = ", ".join(dict.fromkeys(name.replace("not ", "all but ", 1) for name in names))
        return f"its policies allow this action only on {shown}"
    return "its policies allow it only under conditions that are not met: " + "; ".join(
        json.dumps({operator: {key: each.expected[0] if len(each.expected) == 1 else each.expected}})
        for one in matching
        for each in _wrong(one, "Condition")
        for operator, key in [each.key.split(" ", 1)]
    )


def _wrong(statement: Statement, element: str) -> list[Mismatch]:
    return [one for one in statement.mismatches if one.element == element]
