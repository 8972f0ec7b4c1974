"""Policy documents that AWS refuses: identity policies, trust policies and policies of resources.

The emulator stores what it gets, so a policy without a principal or with a misspelt operator simply never
applies.

Faithful to: the grammar of the policy language (elements, effects, versions, operators of conditions, exactly
one of Action and NotAction and of Resource and NotResource); a managed policy is of version 2012-10-17; an
identity policy has resources in ARN format, actions with a service, unique alphanumeric statement ids, and no
principal; a trust policy has a principal, actions of STS, and no resource; principals of policies exist; the
sizes without whitespace of managed (6,144), inline (2,048 of a user and 10,240 of a role together) and trust
policies (2,048).
Not to: values of conditions other than dates, the actions that a service has, texts that AWS does not
document, and roles and users of other accounts, which may exist in AWS. Principals that are deleted later
stay as they are, where AWS shows their ids.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
from ministack.core.responses import get_account_id
from ministack.services import iam

from localaws.refusals import Parameters, Refusal, refuses

_TOP = {"Version", "Id", "Statement"}
_ELEMENTS = {
    *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource"),
    "Condition",
}
_VERSIONS = ("2008-10-17", "2012-10-17")
_OPERATOR = re.compile(
    "(ForAnyValue:|ForAllValues:)?(String(Not)?Equals(IgnoreCase)?|String(Not)?Like"
    "|(Numeric|Date)((Not)?Equals|(LessThan|GreaterThan)(Equals)?)|Bool|BinaryEquals|(Not)?IpAddress"
    "|Arn(Not)?(Equals|Like))(IfExists)?|Null"
)
_PRINCIPALS = {"AWS", "Service", "Federated", "CanonicalUser"}
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_PRINCIPAL = re.compile(
    r"\*|\d{12}|arn:[a-z-]+:(iam|sts)::[^:]*:.+|A[A-Z0-9]{15,}"  # unique ids begin with AROA, AIDA and so on
)
_STS = re.compile(r"sts:[A-Za-z*?]+", re.IGNORECASE)
_SYNTAX = "Syntax errors in policy."
_LARGEST = {"managed": 6144, "trust": 2048, "role": 10_240, "user": 2048, "group": 5120}
_MOST_POLICIES, _MOST_KEYS = 10, 2
# What of IAM's and S3's resources has a Region or a path.
_IAM_PATHS = (
    *("user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/"),
    *("policy/", "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/"),
)
_REGIONAL = ("accesspoint/", "job/", "storage-lens", "async-request/", "access-grants/", "object-lambda")


class Malformed(Exception):
    """The document breaks a rule; the message is AWS's text."""


# --- The grammar


def statements(document: Any) -> list[Mapping[str, Any]]:
    """The statements of a document, as text or as in a template.

    Raises:
        Malformed: It is no policy.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            raise Malformed(_SYNTAX) from None
    if not isinstance(document, Mapping) or not set(document) <= _TOP:
        raise Malformed(_SYNTAX)
    if document.get("Version", _VERSIONS[0]) not in _VERSIONS:
        raise Malformed(_SYNTAX)
    found = document.get("Statement")
    found = [found] if isinstance(found, Mapping) else found
    if not isinstance(found, list) or not found or not all(map(_is_statement, found)):
        raise Malformed(_SYNTAX)
    return found


def _is_statement(statement: Any) -> bool:
    if not isinstance(statement, Mapping) or not set(statement) <= _ELEMENTS:
        return False
    if any(f"Not{name}" in statement and name in statement for name in ("Principal", "Action", "Resource")):
        return False
    names = ("Action", "NotAction", "Resource", "NotResource")
    return (
        statement.get("Effect") in ("Allow", "Deny")
        and isinstance(statement.get("Sid", ""), str)
        and all(isinstance(value, str) for name in names for value in listed(statement.get(name)))
        and _is_condition(statement.get("Condition", {}))
    )


def _is_condition(condition: Any) -> bool:
    if not isinstance(condition, Mapping):
        return False
    for operator, keys in condition.items():
        if not isinstance(keys, Mapping) or (keys and not _OPERATOR.fullmatch(operator)):
            return False
        for values in keys.values():
            if any(isinstance(value, (dict, list)) or value is None for value in listed(values)):
                return False
    return True


def listed(value: Any) -> list[Any]:
    """The values of an element, which has one or a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


# --- Identity policies


def check_identity(document: Any, *, managed: bool) -> None:
    """Check a policy of a user, group or role.

    Raises:
        Malformed: IAM refuses it.
    """
    found = statements(document)
    document = json.loads(document) if isinstance(document, str) else document
    if managed and document.get("Version") != _VERSIONS[1]:
        raise Malformed("Policy document must be version 2012-10-17 or greater.")
    for statement in found:
        if "Principal" in statement or "NotPrincipal" in statement:
            raise Malformed("Policy document should not specify a principal.")
        _check_dates(statement)
    ids = [statement["Sid"] for statement in found if statement.get("Sid")]
    if len(set(ids)) < len(ids):
        raise Malformed("Statement IDs (SID) in a single policy must be unique.")
    if not all(re.fullmatch("[0-9A-Za-z]*", one) for one in ids):
        rule = "Check that your input satisfies the regular expression [0-9A-Za-z]*"
        raise Malformed(f"Statement IDs (SID) must be alpha-numeric. {rule}")
    for statement in found:
        _check_actions(statement)
        resources = listed(statement.get("Resource")) + listed(statement.get("NotResource"))
        if not resources:
            raise Malformed("Policy statement must contain resources.")
        for resource in resources:
            _check_resource(resource)


def _check_actions(statement: Mapping[str, Any]) -> None:
    actions = listed(statement.get("Action")) + listed(statement.get("NotAction"))
    if not actions:
        raise Malformed("Policy statement must contain actions.")
    for action in actions:
        if action == "*":
            continue
        service, colon, name = action.partition(":")
        if not colon:
            text = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
            raise Malformed(text)
        if ":" in name:
            raise Malformed("Actions/Condition can contain only one colon.")
        if re.search(r"[^a-zA-Z0-9\-.]", service):
            raise Malformed(f"Vendor {service} is not valid")


def _check_resource(resource: str) -> None:
    if resource == "*":
        return
    parts = resource.split(":", 5)
    if len(parts) < 2 or parts[0] != "arn":
        raise Malformed(f'Resource {resource} must be in ARN format or "*".')
    if parts[1] != "*" and parts[1] not in _partitions():
        rest = ":".join([part or "*" for part in parts[2:]] + ["*"] * (6 - len(parts)))
        raise Malformed(f'Partition "{parts[1]}" is not valid for resource "arn:{parts[1]}:{rest}".')
    if len(parts) < 3 or re.search(r"[*?$]", parts[2]):
        raise Malformed("Resource vendor must be fully qualified and cannot contain regexes.")
    if len(parts) < 6:
        raise Malformed("The policy failed legacy parsing")
    service, region, path = parts[2], parts[3], parts[5]
    if service == "iam" and region:
        raise Malformed(f"IAM resource {resource} cannot contain region information.")
    if service == "s3" and region not in ("", "*") and not path.startswith(_REGIONAL):
        raise Malformed(f"Resource {resource} can not contain region information.")
    if service == "iam" and not path.startswith((*_IAM_PATHS, "*", "root")):
        paths = ", ".join(_IAM_PATHS)
        raise Malformed(f'IAM resource path must either be "*" or start with {paths}.')


@functools.cache
def _partitions() -> frozenset[str]:
    return frozenset(botocore.session.get_session().get_available_partitions())


def _check_dates(statement: Mapping[str, Any]) -> None:
    for operator, keys in statement.get("Condition", {}).items():
        if "Date" in operator:
            for value in (one for values in keys.values() for one in listed(values)):
                if not str(value).isdigit() and not _is_date(str(value)):
                    raise Malformed("The policy failed legacy parsing")


def _is_date(text: str) -> bool:
    if "$" in text:  # a variable
        return True
    try:
        datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


# --- Principals, in trust policies and policies of resources


def invalid_principals(statement: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The principals of a statement that are malformed or do not exist, each with its kind."""
    principal = statement.get("Principal", statement.get("NotPrincipal"))
    if principal == "*":
        return
    if not isinstance(principal, Mapping) or not principal:
        yield "", str(principal)
        return
    for kind, values in principal.items():
        for value in listed(values) or [""]:
            if not isinstance(value, str) or kind not in _PRINCIPALS or not principal_exists(kind, value):
                yield kind, str(value)


def principal_exists(kind: str, value: str) -> bool:
    """Whether a principal of a policy is well-formed, and exists if it is a role or a user."""
    if kind == "Service":
        return bool(_SERVICE.fullmatch(value))
    if kind != "AWS":
        return bool(value)
    if not _PRINCIPAL.fullmatch(value):
        return False
    found = re.fullmatch(r"arn:[a-z-]+:iam::(\d{12}):(role|user)/(.+)", value)
    if found is None:
        return True
    if "*" in found[3]:
        return False  # AWS takes no wildcards there
    if found[1] != get_account_id():
        return True
    stored = iam._roles if found[2] == "role" else iam._users
    record = stored.get(found[3].rpartition("/")[2])
    return record is not None and record["Arn"].rpartition(":")[2] == value.rpartition(":")[2]


def check_trust(document: Any) -> None:
    """Check the trust policy of a role.

    Raises:
        Malformed: IAM refuses it.
    """
    for statement in statements(document):
        if "Principal" not in statement and "NotPrincipal" not in statement:
            raise Malformed("Missing required field Principal")
        for name in ("Resource", "NotResource"):
            if name in statement:
                raise Malformed(f"Has prohibited field {name}")
        _check_dates(statement)
        _check_actions(statement)
        if not all(_STS.fullmatch(action) for action in listed(statement.get("Action"))):
            raise Malformed("AssumeRole policy may only specify STS AssumeRole actions.")
        for kind, value in invalid_principals(statement):
            kind = "SERVICE" if kind == "Service" else kind
            raise Malformed(f'Invalid principal in policy: "{kind}":"{value}"' if kind else _SYNTAX)


# --- IAM


def size(document: Any) -> int:
    """The characters that count against a quota: all but whitespace."""
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    return sum(not letter.isspace() for letter in text)


def _malformed(error: Malformed) -> Refusal:
    return Refusal("MalformedPolicyDocument", str(error))


def _exceeded(quota: str, most: int) -> Refusal:
    return Refusal("LimitExceeded", f"Cannot exceed quota for {quota}: {most}", 409)


@refuses("iam", "CreatePolicy", "CreatePolicyVersion")
def _managed(request: Parameters) -> Refusal | None:
    document = request.get("PolicyDocument")
    try:
        check_identity(document, managed=True)
    except Malformed as error:
        return _malformed(error)
    largest = _LARGEST["managed"]
    return _exceeded("PolicySize", largest) if size(document) > largest else None


@refuses("iam", "PutRolePolicy", "PutUserPolicy", "PutGroupPolicy")
def _inline(request: Parameters) -> Refusal | None:
    try:
        check_identity(request.get("PolicyDocument"), managed=False)
    except Malformed as error:
        return _malformed(error)
    for kind, stored in (("role", iam._roles), ("user", iam._users), ("group", iam._groups)):
        owner = request.get(f"{kind.title()}Name")
        if not owner:
            continue
        given = {request.get("PolicyName"): request.get("PolicyDocument")}
        return _inline_of(kind, owner, {**_inline_policies(stored, owner), **given})
    return None


def _inline_policies(stored: Any, owner: str) -> Mapping[str, Any]:
    record = stored.get(owner) or {}
    found: Mapping[str, Any] = record.get("InlinePolicies") or {}
    return found


def _inline_of(kind: str, owner: str, policies: Mapping[Any, Any]) -> Refusal | None:
    largest = _LARGEST[kind]
    if sum(map(size, policies.values())) <= largest:
        return None
    return Refusal(
        "LimitExceeded", f"Maximum policy size of {largest} bytes exceeded for {kind} {owner}", 409
    )


@refuses("iam", "CreateRole", "UpdateAssumeRolePolicy")
def _trust(request: Parameters) -> Refusal | None:
    document = request.get("AssumeRolePolicyDocument", request.get("PolicyDocument"))
    try:
        check_trust(document)
    except Malformed as error:
        return _malformed(error)
    largest = _LARGEST["trust"]
    return _exceeded("ACLSizePerRole", largest) if size(document) > largest else None


@refuses("iam", "AttachRolePolicy", "AttachUserPolicy", "AttachGroupPolicy")
def _attachment(request: Parameters) -> Refusal | None:
    arn = str(request.get("PolicyArn"))
    if not _is_attachable(arn):
        return Refusal("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.", 404)
    for kind, stored in (("Role", iam._roles), ("User", iam._users), ("Group", iam._groups)):
        record = stored.get(request.get(f"{kind}Name", "")) or {}
        attached = set(record.get("AttachedPolicies") or [])
        if len(attached | {arn}) > max(_MOST_POLICIES, len(attached)):
            return _exceeded(f"PoliciesPer{kind}", _MOST_POLICIES)
    return None


def _is_attachable(arn: str) -> bool:
    """Whether the policy exists; which ones AWS has is not known."""
    return ":iam::aws:policy/" in arn or arn in iam._policies


@refuses("iam", "CreateAccessKey")
def _access_key(request: Parameters) -> Refusal | None:
    user = request.get("UserName")
    keys = [key for key in iam._access_keys.values() if user and key.get("UserName") == user]
    return _exceeded("AccessKeysPerUser", _MOST_KEYS) if len(keys) >= _MOST_KEYS else None


@refuses("cloudformation", "AWS::IAM::Role")
def _role_of_template(properties: Parameters) -> Refusal | None:
    policies = {one.get("PolicyName"): one.get("PolicyDocument") for one in properties.get("Policies") or []}
    return _attachments("Role", properties) or _inline_of("role", str(properties.get("RoleName")), policies)


@refuses("cloudformation", "AWS::IAM::User")
def _user_of_template(properties: Parameters) -> Refusal | None:
    return _attachments("User", properties)


def _attachments(kind: str, properties: Parameters) -> Refusal | None:
    arns = properties.get("ManagedPolicyArns") or []
    if missing := next((arn for arn in arns if not _is_attachable(str(arn))), None):
        return Refusal("NoSuchEntity", f"Policy {missing} does not exist or is not attachable.", 404)
    return _exceeded(f"PoliciesPer{kind}", _MOST_POLICIES) if len(set(arns)) > _MOST_POLICIES else None


@refuses("cloudformation", "AWS::IAM::Policy")
def _policy_of_template(properties: Parameters) -> Refusal | None:
    """A policy of several principals; each has its quota."""
    given = {properties.get("PolicyName"): properties.get("PolicyDocument")}
    for kind, stored in (("role", iam._roles), ("user", iam._users), ("group", iam._groups)):
        for owner in properties.get(f"{kind.title()}s") or []:
            if found := _inline_of(kind, str(owner), {**_inline_policies(stored, owner), **given}):
                return found
    return None
