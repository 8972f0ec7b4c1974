"""A queue for events that failed permanently, and the kinds of queue and topic that Lambda can send to."""

from aws_cdk import Annotations, Duration, RemovalPolicy, Token
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.core.regions import differ, shown, target_of

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
_DEFAULT_RETENTION = 345_600


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


def retention_of_source(fifo: bool) -> Duration:
    """Return how long a queue should retain messages if its dead-letter queue retains them for 14 days.

    In a standard queue, the age of a message counts from when it was first sent, also in the dead-letter
    queue. So a dead letter is retained for at least a week. In a FIFO queue the age starts anew there.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html
    """
    return Duration.days(14 if fifo else 7)


def check_dead_letter_queue(scope: Construct, queue: sqs.Queue) -> sqs.IQueue:
    """Check that a queue has a dead-letter queue that SQS allows; return it.

    A warning says if dead letters could expire at once.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html

    Args:
        scope: The construct that gets the warning.
        queue: The source queue.

    Raises:
        ValueError: It has none, or one of another kind, account or Region.
    """
    if queue.dead_letter_queue is None:
        raise ValueError(
            f"queue={queue.node.path}: it has no dead-letter queue, so a message that always fails comes "
            "back until it expires; give the queue dead_letter_queue=sqs.DeadLetterQueue(...)."
        )
    dead = queue.dead_letter_queue.queue
    if dead.fifo != queue.fifo:
        raise ValueError(
            f"dead_letter_queue.fifo={dead.fifo} and fifo={queue.fifo}: SQS requires a dead-letter queue of "
            "the same kind as its source; give one of that kind. An imported queue whose ARN is a token is a "
            "FIFO queue only with Queue.from_queue_attributes(fifo=True)."
        )
    if differ(dead.env.region, queue.env.region) or differ(dead.env.account, queue.env.account):
        raise ValueError(
            f"dead_letter_queue={dead.node.path}: it is in account {dead.env.account} and Region "
            f"{dead.env.region}. SQS requires the account and the Region of its source, {queue.env.account} "
            f"and {queue.env.region}; give one there."
        )
    retained, dead_retained = _retention_of(queue), _retention_of(dead)
    if not queue.fifo and retained is not None and dead_retained is not None and retained >= dead_retained:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:deadLetterRetention",
            f"{queue.node.path} retains messages for {retained:,.0f} seconds, and its dead-letter queue for "
            f"{dead_retained:,.0f}. The age of a message counts from when it was first sent, so a dead "
            "letter can expire at once; make the retention period of the dead-letter queue longer.",
        )
    return dead


def _retention_of(queue: sqs.IQueue) -> float | None:
    """Return the retention period of a queue in seconds; ``None`` if it is unknown here."""
    resource = queue.node.default_child
    if not isinstance(resource, sqs.CfnQueue):
        return None
    period = resource.message_retention_period
    if period is None:
        return _DEFAULT_RETENTION
    return None if Token.is_unresolved(period) else period


def encrypt_by_default(queue: sqs.Queue) -> None:
    """Encrypt a queue without a customer managed key with a key that SQS manages.

    Not as an argument of the queue, because that would overrule a key from the app's property injectors.
    """
    resource = queue.node.default_child
    assert isinstance(resource, sqs.CfnQueue)
    if resource.kms_master_key_id is None and resource.sqs_managed_sse_enabled is None:
        resource.sqs_managed_sse_enabled = True


def check_standard(
    argument: str,
    destination: sqs.IQueue | sns.ITopic | str | None,
    why: str = "Lambda sends to standard ones only",
) -> None:
    """Check that a destination is no FIFO queue or topic: what a service should send to one would be lost.

    Args:
        argument: The argument that names it, as the caller wrote it.
        destination: A queue, a topic, the ARN of anything, or ``None`` (not given).
        why: Which service takes standard ones only.

    Raises:
        ValueError: It is a FIFO queue or topic, owned or imported.

    Of Lambda, AWS documents this for asynchronous invocations only. No page says what event source mappings
    do with a FIFO queue, so it is refused there as well: no failure may depend on it.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    if destination is None:
        return
    if isinstance(destination, str):
        arn, fifo = destination, False
    else:
        fifo = bool(destination.fifo)
        arn = destination.queue_arn if hasattr(destination, "queue_arn") else destination.topic_arn
    if fifo or arn.endswith(".fifo") or _is_of_fifo_resource(arn):
        raise ValueError(
            f"{argument}={shown(destination)}: it is a FIFO queue or topic, and {why}; give a standard queue "
            "or topic."
        )


def _is_of_fifo_resource(arn: str) -> bool:
    """Whether an ARN is a reference to a FIFO queue or topic of this app."""
    target = target_of(arn)
    if isinstance(target, sqs.CfnQueue):
        return target.fifo_queue is True
    if isinstance(target, sns.CfnTopic):
        return target.fifo_topic is True
    return False
