"""Dead-letter queues to which SNS or EventBridge sends what it could not deliver."""

from aws_cdk import Resource, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.failure_queue import check_standard
from cdk_lambda_patterns.core.permissions import warn_if_not_granted


def check_dead_letters(argument: str, queue: sqs.IQueue | None, service: str) -> None:
    """Check that a service can send to a dead-letter queue.

    Args:
        argument: The argument that names it, as the caller wrote it.
        queue: The queue; ``None`` (not given) passes.
        service: The name of the service: ``"SNS"``.

    Raises:
        ValueError: It is a FIFO queue, or encrypted with a key that services may not use.
    """
    check_standard(argument, queue, f"{service} sends to standard ones only")
    if queue is not None and queue.encryption_type == sqs.QueueEncryption.KMS_MANAGED:
        raise ValueError(
            f"{argument}={queue.node.path}: it is encrypted with alias/aws/sqs, which {service} may not use, "
            "so that undelivered messages would be lost; give a queue with a customer managed key, or with "
            "QueueEncryption.SQS_MANAGED."
        )


def allow_dead_letters(
    scope: Construct, queue: sqs.IQueue, *principals: str, account: str | None = None
) -> sqs.IQueue:
    """Let services use the key of a queue; return what to give to the CDK, which adds to its policy.

    Args:
        scope: The construct whose undelivered messages the queue gets.
        queue: The queue, owned or imported.
        *principals: The services: ``"sns.amazonaws.com"``.
        account: The account of the topic or rule. Default: that of the stack.
    """
    condition = {"StringEquals": {"aws:SourceAccount": account or Stack.of(scope).account}}
    callers = [iam.ServicePrincipal(principal, conditions=condition) for principal in principals]
    if queue.encryption_master_key is not None:
        for caller in callers:
            queue.encryption_master_key.grant(caller, "kms:GenerateDataKey", "kms:Decrypt")
    if Stack.of(queue) is Stack.of(scope) and Resource.is_owned_resource(queue):
        return queue
    # The CDK would name the source in the policy: of two stacks, none could be deployed first.
    for caller in callers:
        warn_if_not_granted(scope, queue.grant(caller, "sqs:SendMessage"), caller, queue)
    return sqs.Queue.from_queue_arn(scope, "UndeliveredQueueByArn", queue.queue_arn)
