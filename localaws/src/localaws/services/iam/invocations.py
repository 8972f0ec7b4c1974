"""Resource-based policies of functions, queues and topics when S3, SNS and EventBridge call them.

The emulator evaluates a function's resource policy for calls of users and roles, but not for calls of S3, SNS
and EventBridge.

Faithful to: S3, SNS and EventBridge invoke a function only if its policy (`AWS::Lambda::Permission`) allows
that service, with the SourceArn and SourceAccount of the call, for the version or alias that is called. S3
refuses a notification configuration with a function that does not allow it, unless the request skips the
validation. S3 and SNS also invoke functions of other accounts. EventBridge delivers to a queue, a topic or a
log group only if its policy, of log groups also one of the account, allows it. A permission for a function
that does not exist fails the deployment. Services call with TLS: a statement that denies
`aws:SecureTransport` `false` does not stop them.
Not to: what happens to a refused delivery. Here it is logged and lost, as in AWS without a dead-letter queue
on the subscription. For rules see `events.targets`, for load balancers `elbv2.functions`, for APIs
`apigateway.functions`, for Cognito `cognito.triggers`, for CloudWatch Logs `logs.subscriptions`.

https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import cloudwatch_logs, eventbridge, lambda_svc, s3, sns, sqs
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, around, changes, resource
from localaws.services.iam.denials import record_of_service
from localaws.services.iam.roles import iam_is_enforced

# https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
_LONGEST_STATEMENT_ID = 100

logger = logging.getLogger("localaws.iam")


def service_may_invoke(
    function: str, service: str, source_arn: str, source_account: str, *, event_source_token: str = ""
) -> bool:
    """Whether the function's resource policy allows a service to invoke it.

    Args:
        function: The ARN that is invoked, with its qualifier if it has one.
        service: The service's principal, such as `s3.amazonaws.com`.
        source_arn: The bucket, topic or rule that the service calls for; empty for none.
        source_account: The account that owns it; empty for none.
        event_source_token: The value of `lambda:EventSourceToken`, which Alexa sends: the id of the skill.
    """
    if not iam_is_enforced():
        return True
    with in_account_of(function):
        record, _config, _name = lambda_svc._get_func_record_for_ref(function)
    if record is None:
        return False
    # The record of a version has no policy of its own: the function's record has all statements.
    found = lambda_svc.function_policy_for_arn(function)
    policy = found[0] if found else None
    token = {"lambda:eventsourcetoken": event_source_token}
    return service_may(policy, "lambda:InvokeFunction", function, service, source_arn, source_account, token)


def service_may_deliver(
    target: str,
    service: str,
    source_arn: str,
    source_account: str,
    *,
    owner: str = "",
    event_source_token: str = "",
) -> bool:
    """Whether the policy of a function, queue, topic, bucket, log group or bus allows a service to use it.

    Args:
        target: Its ARN; for a bucket that of the object.
        service: The service's principal.
        source_arn: The resource that the service delivers for; empty for none.
        source_account: The account that owns that resource; empty for none.
        owner: That account, if the service sends it as `aws:SourceOwner`, which SNS's default policy needs.
        event_source_token: See `service_may_invoke`.
    """
    if not iam_is_enforced():
        return True
    kind, caller = target.split(":")[2], (service, source_arn, source_account)
    with in_account_of(target):
        if kind == "lambda":
            return service_may_invoke(target, *caller, event_source_token=event_source_token)
        if kind == "sqs":
            return bool(sqs.queue_policy_allows(target, *caller))
        if kind == "sns":
            topic = sns._topic_by_arn_any_scope(target)
            policy = topic["attributes"].get("Policy") if topic else None
            return service_may(policy, "sns:Publish", target, *caller, {"aws:sourceowner": owner})
        if kind == "s3":
            bucket = target.split(":")[5].partition("/")[0]
            policy = s3._bucket_policies.get_scoped(s3._bucket_owner_account(bucket), None, bucket)
            return service_may(policy, "s3:PutObject", target, *caller)
        if kind == "logs":
            return _may_log(target, *caller)
        policy = eventbridge._event_bus_policies.get(target.rpartition("/")[2])
        return service_may(policy, "events:PutEvents", target, *caller)


def _may_log(group: str, service: str, source_arn: str, source_account: str) -> bool:
    """Whether the account's policies of log groups, and that of the group, allow a service to write to it."""
    name = group.split(":")[6]
    found = [*cloudwatch_logs._resource_policies.values(), cloudwatch_logs._log_group_policies.get(name)]
    policies = [json.loads(policy["policyDocument"]) for policy in found if policy]
    every = [policy.get("Statement") or [] for policy in policies]
    merged = [one for each in every for one in (each if isinstance(each, list) else [each])]
    stream = f"{group.removesuffix(':*')}:log-stream:{name}"
    # The documented policy allows to create a stream for any rule, and to put events for this one.
    return all(
        service_may({"Statement": merged}, action, stream, service, source, source_account)
        for action, source in (("logs:CreateLogStream", ""), ("logs:PutLogEvents", source_arn))
    )


@changes(iam_evaluator, "_request_origin")
def _services_use_tls(stock: ContextVar[tuple[str, bool]]) -> ContextVar[tuple[str, bool]]:
    """The origin of what comes without a request: an event, a schedule, a delivery."""
    address, _ = stock.get()
    return ContextVar(stock.name, default=(address, True))


@contextmanager
def in_account_of(arn: str) -> Iterator[None]:
    """Let the emulator look for resources in the account and Region of an ARN."""
    _, _, _, region, account, *_ = [*arn.split(":"), "", "", "", "", ""]
    with request_scope(account or get_account_id(), region or get_region()):
        yield


def service_may(
    policy: Any,
    action: str,
    resource: str,
    service: str,
    source_arn: str,
    source_account: str,
    keys: Mapping[str, str] | None = None,
) -> bool:
    """Whether the policy of a resource allows an action of a service, for a resource of an account."""
    # A key without a value is absent, and no condition without a negation matches it.
    context = {"aws:sourcearn": source_arn, "aws:sourceaccount": source_account, **(keys or {})}
    request = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource,
        region=get_region(),
        secure_transport=True,
        service_context={key: value for key, value in context.items() if value},
    )
    allowed = iam_evaluator.evaluate_resource_policy(policy, request, service=service).decision == "Allow"
    if not allowed:
        record_of_service(request, service, policy)
    return bool(allowed)


# --- S3


def _bucket_may_invoke(bucket: str, function: str) -> bool:
    owner = s3._bucket_owner_account(bucket) or get_account_id()
    return service_may_invoke(function, "s3.amazonaws.com", f"arn:aws:s3:::{bucket}", owner)


@around(s3, "_deliver_event_to_lambda", after=["s3.buckets"])
def _deliver_event_to_lambda(
    stock: Callable[..., None], arn: str, event_payload: Properties, *args: Any, **more: Any
) -> None:
    bucket = event_payload["Records"][0]["s3"]["bucket"]["name"]
    if _bucket_may_invoke(bucket, arn):
        with in_account_of(arn):
            stock(arn, event_payload, *args, **more)
    else:
        _log_refusal(f"arn:aws:s3:::{bucket}", arn)


@around(s3, "_parse_notification_target_arn", after=["s3.notifications"])
def _parse_notification_target_arn(
    stock: Callable[..., Any], target_type: str, arn: str, bucket_region: str
) -> Any:
    """Allow functions of other accounts: their policy decides, as that of queues and topics does."""
    if target_type != "lambda":
        return stock(target_type, arn, bucket_region)
    with in_account_of(arn):
        return stock(target_type, arn, bucket_region)


@around(s3, "_validate_notification_configs")
def _validate_notification_configs(
    stock: Callable[..., Any],
    configs: list[Properties],
    bucket_region: str,
    bucket_name: str = "",
    skip_destination_validation: bool = False,
) -> Any:
    error = stock(configs, bucket_region, bucket_name, skip_destination_validation)
    if error or skip_destination_validation:
        return error
    functions = [entry["arn"] for entry in configs if entry["type"] == "lambda"]
    if all(_bucket_may_invoke(bucket_name, arn) for arn in functions):
        return None
    return s3._invalid_notification_config("Unable to validate the following destination configurations")


# --- SNS


@around(sns, "_deliver_to_lambda", after=["lambda_.asynchronous_sources"])
def _deliver_to_lambda(
    stock: Callable[..., None], endpoint: str, envelope: str, topic_arn: str, *args: Any, **more: Any
) -> None:
    if service_may_invoke(endpoint, "sns.amazonaws.com", topic_arn, topic_arn.split(":")[4]):
        with in_account_of(endpoint):
            stock(endpoint, envelope, topic_arn, *args, **more)
    else:
        _log_refusal(topic_arn, endpoint)


# --- EventBridge


def rule_may_reach(rule: str, target: str) -> bool:
    """Whether the target's policy allows EventBridge to deliver to it; true for targets that use a role."""
    if not iam_is_enforced():
        return True
    account = (rule.split(":") + [""] * 5)[4]
    if (target.split(":") + [""] * 3)[2] not in ("lambda", "sqs", "sns", "logs"):
        return True
    return service_may_deliver(target, "events.amazonaws.com", rule, account)


# --- Permissions


@around(provisioners, "_lambda_permission_create")  # by which an update replaces the permission
@resource("AWS::Lambda::Permission").create
def _create_permission(stock: Handler, logical_id: str, props: Properties, stack_name: str) -> Created:
    reference = props.get("FunctionName", "")
    if provisioners._lambda_function_for_cfn_ref(reference)[0] is None:
        raise ValueError(f"AWS::Lambda::Permission: Function not found: {json.dumps(reference)}")
    # The id of the statement is made of both names.
    room = _LONGEST_STATEMENT_ID - len("--123456789012")
    kept = logical_id[: room - min(len(stack_name), room // 2)]
    return stock(kept, props, stack_name[: room - len(kept)])


def _log_refusal(source: str, target: str) -> None:
    logger.warning("%s may not call %s: no statement of its policy allows it", source, target)
