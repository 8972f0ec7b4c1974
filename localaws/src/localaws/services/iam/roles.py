"""What a role may do and which services may assume it, for work that a service does with that role.

The emulator authorises requests that arrive at its gateway. Work that it does itself on behalf of a role,
such as reading a queue for an event source mapping, does not pass the gateway and is not authorised. Bridges
that do such work, or guard it, ask here.

Faithful to: identity policies, the permissions boundary and the resource's policy, combined as within one
account and across accounts; explicit deny first; the condition keys that the emulator's evaluator knows.
Not to: service control policies, session policies, KMS grants. Without IAM enforcement the answer is always
yes.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import importlib

from ministack.core import iam_evaluator
from ministack.core.responses import get_region
from ministack.services import iam

from localaws.services.iam.denials import record, record_of_service


def iam_is_enforced() -> bool:
    """Whether this emulator was started with IAM enforced."""
    # Imported late: `ministack.app` reads its environment when it is first imported.
    return bool(importlib.import_module("ministack.app").AUTH)


def role_allows(
    role_arn: str,
    action: str,
    resource: str,
    context: dict[str, str] | None = None,
    *,
    policy: tuple[str, str] | None = None,
) -> bool:
    """Whether a service that has assumed the role may perform the action on the resource.

    Args:
        role_arn: The role's ARN, with or without a path.
        action: One action, such as `sqs:SendMessage`.
        resource: The ARN of the resource, or `*` for actions without resource-level permissions.
        context: Condition keys that the service sets, such as `{"aws:SourceArn": …}`.
        policy: The policy of the resource and the account that owns it, if the emulator does not find it.
    """
    if not iam_is_enforced():
        return True
    account, name = _account_and_name(role_arn)
    role = iam._roles.get_scoped(account, None, name)
    if role is None:
        return False
    request = _request(role_arn, action, resource, context)
    request.principal_keys = {
        f"aws:principaltag/{tag['Key'].lower()}": tag["Value"] for tag in role.get("Tags") or []
    }
    limits = iam_evaluator._permissions_boundary(iam._roles, name, account)
    policies = iam_evaluator._gather_role_policies(name, account)
    result = iam_evaluator.evaluate(request, policies, *limits)
    service = action.partition(":")[0]
    policy = policy or iam_evaluator._resource_policy(service, resource)
    if policy is not None:
        required = service in iam_evaluator._POLICY_REQUIRED
        result = iam_evaluator.combine_resource_policy(
            result, request, *policy, required=required, limits=limits
        )
    if result.decision != "Allow":
        record(request, policy=policy)
    return bool(result.decision == "Allow")


def role_trusts(role_arn: str, service: str, source_arn: str = "", source_account: str = "") -> bool:
    """Whether the role's trust policy allows the service to assume it.

    Args:
        role_arn: The role's ARN, with or without a path.
        service: The service's principal, such as `lambda.amazonaws.com`.
        source_arn: The resource that it assumes the role for, if the service sends `aws:SourceArn`.
        source_account: The account of that resource. Default: the account of the role.
    """
    if not iam_is_enforced():
        return True
    account, name = _account_and_name(role_arn)
    role = iam._roles.get_scoped(account, None, name)
    if role is None:
        return False
    context = {"aws:SourceAccount": source_account or account}
    if source_arn:
        context["aws:SourceArn"] = source_arn
    request = _request(role_arn, "sts:AssumeRole", role_arn, context)
    request.principal_arn = "*"
    request.principal_type = "Service"
    document = role.get("AssumeRolePolicyDocument")
    trusts = iam_evaluator.evaluate_resource_policy(document, request, service=service).decision == "Allow"
    if not trusts:
        record_of_service(request, service, document)
    return bool(trusts)


def _account_and_name(role_arn: str) -> tuple[str, str]:
    account = role_arn.split(":")[4] if role_arn.count(":") >= 5 else ""
    return account, role_arn.rsplit("/", 1)[-1]


def _request(
    role_arn: str, action: str, resource: str, context: dict[str, str] | None
) -> iam_evaluator.EvalContext:
    account, name = _account_and_name(role_arn)
    partition = role_arn.split(":")[1] if ":" in role_arn else "aws"
    return iam_evaluator.EvalContext(
        principal_arn=f"arn:{partition}:sts::{account}:assumed-role/{name}/service",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        # Services call each other over TLS, so a policy that requires it allows them.
        secure_transport=True,
        service_context={key.lower(): value for key, value in (context or {}).items()},
    )
