"""A queue for events that failed permanently."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
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
        encryption=sqs.QueueEncryption.KMS if encryption_key else sqs.QueueEncryption.SQS_MANAGED,
        encryption_master_key=encryption_key,
        enforce_ssl=True,
        retention_period=Duration.days(14),
        removal_policy=removal_policy,
    )
    acknowledge(
        queue,
        {
            "AwsSolutions-SQS3": "This is a queue for failures: its messages wait for a person or a redrive.",
            "Serverless-SQSRedrivePolicy": "This is a queue for failures: there is no further queue.",
        },
    )
    return queue
