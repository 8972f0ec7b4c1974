"""A service that calls needs the permission of what it calls: Lambda functions, queues, topics.

The emulator asks a function's resource policy when a person or a role calls it, and nobody when S3, SNS or
EventBridge does.

Faithful to: S3, SNS and EventBridge invoke a function only if its policy (`AWS::Lambda::Permission`) allows
that service, with the SourceArn and SourceAccount of the call, for the version or alias that is called. S3
refuses a notification configuration whose function does not allow it, unless asked to skip the validation.
EventBridge delivers to a queue or topic only if its policy allows it. A permission for a function that does
not exist fails the deployment.
Not to: what becomes of a refused delivery: here it is logged and lost, as in AWS without a dead-letter
queue on the rule or subscription. Invocations by API Gateway, Cognito and CloudWatch Logs. (Load balancers:
`alb_functions`.)

https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, lambda_svc, s3, sns, sqs
from ministack.services.cloudformation import provisioners

from localaws.services.iam.roles import iam_is_enforced

logger = logging.getLogger("localaws.iam")


def install() -> None:
    """Ask before the emulator's services call each other."""
    s3._deliver_event_to_lambda = _from_bucket(s3._deliver_event_to_lambda)
    s3._validate_notification_configs = _validating_functions(s3._validate_notification_configs)
    sns._deliver_to_lambda = _from_topic(sns._deliver_to_lambda)
    eventbridge._invoke_target = _from_rule(eventbridge._invoke_target)
    permission = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Permission"]
    permission["create"] = _of_an_existing_function(permission["create"])


def service_may_invoke(function: str, service: str, source_arn: str, source_account: str) -> bool:
    """Whether the function's resource policy lets a service invoke it.

    Args:
        function: The ARN that is invoked, with its qualifier if it has one.
        service: The service's principal, such as `s3.amazonaws.com`.
        source_arn: The bucket, topic or rule in whose name the service calls.
        source_account: The account that owns it.
    """
    if not iam_is_enforced():
        return True
    record, _config, _name = lambda_svc._get_func_record_for_ref(function)
    if record is None:
        return False
    # A version's record carries no policy of its own: all statements stand on the function.
    found = lambda_svc.function_policy_for_arn(function)
    policy = found[0] if found else None
    return _allows(policy, "lambda:InvokeFunction", function, service, source_arn, source_account)


def _allows(
    policy: Any,
    action: str,
    resource: str,
    service: str,
    source_arn: str,
    source_account: str,
) -> bool:
    request = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource,
        region=get_region(),
        secure_transport=True,
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": source_account},
    )
    return bool(iam_evaluator.evaluate_resource_policy(policy, request, service=service).decision == "Allow")


# --- S3


def _bucket_may_invoke(bucket: str, function: str) -> bool:
    owner = s3._bucket_owner_account(bucket) or get_account_id()
    return service_may_invoke(function, "s3.amazonaws.com", f"arn:aws:s3:::{bucket}", owner)


def _from_bucket(deliver: Callable[..., None]) -> Callable[..., None]:
    def deliver_if_allowed(arn: str, payload: dict[str, Any], *args: Any) -> None:
        bucket = payload["Records"][0]["s3"]["bucket"]["name"]
        if _bucket_may_invoke(bucket, arn):
            deliver(arn, payload, *args)
        else:
            _refused(f"arn:aws:s3:::{bucket}", arn)

    return deliver_if_allowed


def _validating_functions(validate: Callable[..., Any]) -> Callable[..., Any]:
    def validate_functions_too(
        configurations: list[dict[str, Any]], region: str, bucket: str = "", skip: bool = False
    ) -> Any:
        error = validate(configurations, region, bucket, skip)
        functions = [entry["arn"] for entry in configurations if entry["type"] == "lambda"]
        if error or skip or all(_bucket_may_invoke(bucket, arn) for arn in functions):
            return error
        return s3._invalid_notification_config("Unable to validate the following destination configurations")

    return validate_functions_too


# --- SNS


def _from_topic(deliver: Callable[..., None]) -> Callable[..., None]:
    def deliver_if_allowed(function: str, envelope: str, topic: str, *args: Any) -> None:
        if service_may_invoke(function, "sns.amazonaws.com", topic, topic.split(":")[4]):
            deliver(function, envelope, topic, *args)
        else:
            _refused(topic, function)

    return deliver_if_allowed


# --- EventBridge


def _from_rule(invoke: Callable[..., None]) -> Callable[..., None]:
    def invoke_if_allowed(target: dict[str, Any], event: Any, rule: dict[str, Any], view: Any = None) -> None:
        arn = target.get("Arn", "")
        if rule_may_reach(rule["Arn"], arn):
            invoke(target, event, rule, view)
        else:
            _refused(rule["Arn"], arn)

    return invoke_if_allowed


def rule_may_reach(rule: str, target: str) -> bool:
    """Whether the target's own policy lets EventBridge deliver to it; true for targets that take a role."""
    if not iam_is_enforced():
        return True
    service, account = (target.split(":") + [""] * 3)[2], (rule.split(":") + [""] * 5)[4]
    caller = "events.amazonaws.com"
    if service == "lambda":
        return service_may_invoke(target, caller, rule, account)
    if service == "sqs":
        return bool(sqs.queue_policy_allows(target, caller, rule, account))
    if service == "sns":
        topic = sns._topic_by_arn_any_scope(target)
        policy = topic["attributes"].get("Policy") if topic else None
        return _allows(policy, "sns:Publish", target, caller, rule, account)
    return True


# --- Permissions


def _of_an_existing_function(create: Callable[..., Any]) -> Callable[..., Any]:
    def create_or_fail(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        reference = properties.get("FunctionName", "")
        if provisioners._lambda_function_for_cfn_ref(reference)[0] is None:
            raise ValueError(f"AWS::Lambda::Permission: Function not found: {json.dumps(reference)}")
        return create(logical_id, properties, stack)

    return create_or_fail


def _refused(source: str, target: str) -> None:
    logger.warning("%s may not call %s: no statement of its policy allows it", source, target)
