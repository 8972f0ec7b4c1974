"""A queue for events that failed permanently, and the kinds of queue and topic that Lambda can send to."""

from typing import cast

from aws_cdk import Duration, Reference, RemovalPolicy, Token, Tokenization
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.permissions import acknowledge


def make_failure_queue(
    scope: Construct,
    id: str,
    *,
    fifo: bool = False,
    encryption_key: kms.IKey | None = None,
    removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
) -> sqs.Queue:
    """Make a queue that retains what failed permanently for 14 days, the longest that SQS allows.

    Args:
        scope: The parent.
        id: The id under the parent.
        fifo: Whether it is a FIFO queue, as the dead-letter queue of a FIFO queue must be.
        encryption_key: Customer managed key that encrypts the messages. Default: a key that SQS manages.
        removal_policy: What happens to the queue and its messages when the stack is deleted.
    """
    queue = sqs.Queue(
        scope,
        id,
        fifo=fifo or None,  # CloudFormation refuses an explicit false
        encryption_master_key=encryption_key,
        enforce_ssl=True,
        retention_period=Duration.days(14),
        removal_policy=removal_policy,
    )
    encrypt_by_default(queue)
    acknowledge(
        queue,
        {
            "AwsSolutions-SQS3": "This is a queue for failures: its messages wait for a person or a redrive.",
            "Serverless-SQSRedrivePolicy": "This is a queue for failures: there is no further queue.",
        },
    )
    return queue


def encrypt_by_default(queue: sqs.Queue) -> None:
    """Encrypt a queue without a customer managed key with a key that SQS manages.

    Not as an argument of the queue, because that would overrule a key from the app's property injectors.
    """
    resource = queue.node.default_child
    assert isinstance(resource, sqs.CfnQueue)
    if resource.kms_master_key_id is None and resource.sqs_managed_sse_enabled is None:
        resource.sqs_managed_sse_enabled = True


def check_standard(argument: str, destination: sqs.IQueue | sns.ITopic | str | None) -> None:
    """Check that Lambda can send to a destination: it loses what it should send to a FIFO queue or topic.

    Args:
        argument: The argument that names it, as the caller wrote it.
        destination: A queue, a topic, the ARN of anything, or ``None`` (not given).

    Raises:
        ValueError: It is a FIFO queue or topic, owned or imported.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    if destination is None:
        return
    if isinstance(destination, str):
        name, arn, fifo = destination, destination, False
    else:
        name, fifo = destination.node.path, bool(destination.fifo)
        arn = destination.queue_arn if hasattr(destination, "queue_arn") else destination.topic_arn
    if fifo or arn.endswith(".fifo") or _is_of_fifo_resource(arn):
        if Token.is_unresolved(name):
            name = "the destination"
        raise ValueError(
            f"{argument}={name}: it is a FIFO queue or topic, and Lambda sends to standard ones only; give a "
            "standard queue or topic."
        )


def _is_of_fifo_resource(arn: str) -> bool:
    """Whether an ARN is a reference to a FIFO queue or topic of this app."""
    if not Token.is_unresolved(arn):
        return False
    for token in Tokenization.reverse_string(arn).tokens:
        if Reference.is_reference(token):
            target = cast(Reference, token).target
            if isinstance(target, sqs.CfnQueue):
                return target.fifo_queue is True
            if isinstance(target, sns.CfnTopic):
                return target.fifo_topic is True
    return False
