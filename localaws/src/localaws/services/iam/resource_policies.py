"""Policies of resources that AWS refuses: buckets, queues, topics, keys, secrets and event buses.

Faithful to: the grammar of the policy language; a principal in each statement, which exists; S3's resources
are those of the bucket, its actions are S3's and apply to at least one of the resources; actions of topics
and queues are those of their service; a key policy of at most 32 KB lets its author change it again; a
secret's policy is not public if the request asks for that. All with the codes of the services.
Not to: texts that AWS does not document, which are those of KMS, Secrets Manager and EventBridge about
grammar; whether a policy lets other principals than the author change a key.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutResourcePolicy.html
https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import s3

from localaws.patching import around
from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.iam.policy_documents import Malformed, invalid_principals, listed, size, statements

_LARGEST_BUCKET_POLICY, _LARGEST_KEY_POLICY = 20 * 1024, 32 * 1024
_SNS = "Invalid parameter: Policy Error: null"
_SQS = "Invalid value for the parameter Policy."
# Code, and texts: of the syntax, a missing element, a principal, an action of another service.
_ERRORS = {
    "s3": ("MalformedPolicy", "Invalid policy syntax.", None, "Invalid principal in policy"),
    "sns": ("InvalidParameter", _SNS, _SNS, "Invalid parameter: Policy Error: PrincipalNotFound"),
    "sqs": ("InvalidAttributeValue", _SQS, _SQS, _SQS),
    "kms": (
        "MalformedPolicyDocumentException",
        "Syntax errors in policy.",
        None,
        "Policy contains a statement with one or more invalid principals.",
    ),
    "secretsmanager": (
        "MalformedPolicyDocumentException",
        "The resource policy has syntax errors.",
        None,
        "This resource policy contains an unsupported principal.",
    ),
    "events": ("ValidationException", "Syntax errors in policy.", None, "Invalid principal in policy"),
}
_OTHER_SERVICE = {
    "s3": "Policy has invalid action",
    "sns": "Invalid parameter: Policy statement action out of service scope!",
    "sqs": _SQS,
}
# Actions of S3 on objects that are not called after them, and on buckets that are.
_OF_OBJECTS = {
    *("AbortMultipartUpload", "ListMultipartUploadParts", "BypassGovernanceRetention", "ReplicateDelete"),
    *("ReplicateTags", "InitiateReplication"),
}


def _problem(service: str, document: Any) -> Refusal | None:
    """Why the service refuses a policy, whatever resource it is for."""
    code, syntax, missing, principal = _ERRORS[service]
    try:
        found = statements(document)
    except Malformed:
        return Refusal(code, syntax)
    for statement in found:
        for name in ("Principal", "Action", "Resource"):
            needed = name != "Resource" or service in ("s3", "kms", "sns")
            if needed and name not in statement and f"Not{name}" not in statement:
                text = "Statement is missing required element" if name == "Resource" else None
                return Refusal(code, missing or text or f"Missing required field {name}")
        if any(invalid_principals(statement)):
            return Refusal(code, principal)
        for action in listed(statement.get("Action")):
            of = action.partition(":")[0].lower()
            if service in _OTHER_SERVICE and action != "*" and of != service:
                return Refusal(code, _OTHER_SERVICE[service])
    return None


# --- Buckets


def _of_bucket(bucket: str, document: Any) -> Refusal | None:
    def malformed(text: str) -> Refusal:
        return Refusal("MalformedPolicy", text)

    if isinstance(document, str) and not _is_json_object(document):
        return malformed("Policies must be valid JSON and the first byte must be '{'")
    if size(document) > _LARGEST_BUCKET_POLICY:
        return malformed("Policy exceeds the maximum allowed document size.")
    if found := _problem("s3", document):
        return found
    for statement in statements(document):
        resources = listed(statement.get("Resource", statement.get("NotResource")))
        parts = [resource.split(":", 5)[-1] for resource in resources]
        if not all(part == bucket or part.startswith((f"{bucket}/", f"{bucket}*")) for part in parts):
            return malformed("Policy has invalid resource")
        for action in listed(statement.get("Action")):
            if not any(_applies(action.partition(":")[2], part) for part in parts):
                return malformed("Action does not apply to any resource(s) in statement")
    return None


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _applies(action: str, resource: str) -> bool:
    """Whether an action on objects has a resource with objects, and one on buckets one without."""
    if "*" in action or "?" in action or (resource.endswith("*") and "/" not in resource):
        return True
    on_objects = action in _OF_OBJECTS or ("Object" in action and "Bucket" not in action)
    on_buckets = "Bucket" in action or action in ("GetLifecycleConfiguration", "PutLifecycleConfiguration")
    return not (on_buckets and "/" in resource) and not (on_objects and "/" not in resource)


@around(s3, "_put_bucket_policy")
def _put_bucket_policy(stock: Callable[..., Any], name: str, body: bytes, *args: Any, **kwargs: Any) -> Any:
    found = _of_bucket(name, body.decode("utf-8", errors="replace"))
    return s3._error(*found) if found else stock(name, body, *args, **kwargs)


@refuses("cloudformation", "AWS::S3::BucketPolicy")
def _bucket_policy(properties: Parameters) -> Refusal | None:
    return _of_bucket(str(properties.get("Bucket")), properties.get("PolicyDocument"))


# --- Topics and queues


@refuses("sns", "SetTopicAttributes", "CreateTopic")
def _topic_attribute(request: Parameters) -> Refusal | None:
    if request.get("AttributeName") == "Policy":
        return _problem("sns", request.get("AttributeValue"))
    policy = (request.get("Attributes") or {}).get("Policy")  # of a new topic
    found = _problem("sns", policy) if policy else None
    return found and Refusal(found.code, found.text.replace(": ", ": Attributes Reason: ", 1))


@refuses("cloudformation", "AWS::SNS::TopicPolicy")
def _topic_policy(properties: Parameters) -> Refusal | None:
    return _problem("sns", properties.get("PolicyDocument"))


@refuses("sqs", "SetQueueAttributes", "CreateQueue")
def _queue_attributes(request: Parameters) -> Refusal | None:
    policy = (request.get("Attributes") or {}).get("Policy")
    return _problem("sqs", policy) if policy else None


@refuses("cloudformation", "AWS::SQS::QueuePolicy")
def _queue_policy(properties: Parameters) -> Refusal | None:
    return _problem("sqs", properties.get("PolicyDocument"))


# --- Keys


@refuses("kms", "CreateKey", "PutKeyPolicy")
def _key_policy(request: Parameters) -> Refusal | None:
    policy = request.get("Policy")
    if policy is None:
        return None
    if size(policy) > _LARGEST_KEY_POLICY:
        return Refusal("LimitExceededException", "The key policy exceeds the limit of 32 KB.")
    if found := _problem("kms", policy):
        return found
    if str(request.get("BypassPolicyLockoutSafetyCheck")).lower() == "true" or _may_change(policy):
        return None
    text = "The new key policy will not allow you to update the key policy in the future."
    return Refusal("MalformedPolicyDocumentException", text)


def _may_change(policy: Any) -> bool:
    """Whether a statement lets the caller, or its account, change the policy again."""
    account = get_account_id()
    caller = str(iam_evaluator.caller_arn())
    role = caller.split(":", 5)[-1].split("/")
    own = {"*", account, f"arn:aws:iam::{account}:root", caller}
    for statement in statements(policy):
        actions = [action.lower() for action in listed(statement.get("Action"))]
        if statement["Effect"] != "Allow" or not any(fnmatchcase("kms:putkeypolicy", one) for one in actions):
            continue
        principal = statement.get("Principal")
        named = ["*"] if principal == "*" else listed((principal or {}).get("AWS"))
        for one in map(str, named):
            is_role = role[0] == "assumed-role" and one.endswith(f"/{role[1]}") and ":role/" in one
            # CloudFormation deploys for a caller that is not known here.
            if one in own or is_role or (not caller and f"::{account}:" in one):
                return True
    return False


# --- Secrets and event buses


@refuses("secretsmanager", "PutResourcePolicy", "ValidateResourcePolicy")
def _secret_policy(request: Parameters) -> Refusal | None:
    policy = request.get("ResourcePolicy")
    if found := _problem("secretsmanager", policy):
        return found
    if request.get("BlockPublicPolicy") and any(map(_is_public, statements(policy))):
        text = (
            "The BlockPublicPolicy parameter is set to true, and the resource policy did not prevent broad "
            "access to the secret."
        )
        return Refusal("PublicPolicyException", text)
    return None


def _is_public(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    everybody = principal == "*" or "*" in listed(principal.get("AWS") if principal else None)
    return everybody and statement["Effect"] == "Allow" and not statement.get("Condition")


@refuses("cloudformation", "AWS::SecretsManager::ResourcePolicy")
def _secret_policy_of_template(properties: Parameters) -> Refusal | None:
    return _secret_policy(properties)


@refuses("events", "PutPermission")
def _bus_policy(request: Parameters) -> Refusal | None:
    return _problem("events", request["Policy"]) if request.get("Policy") else None
