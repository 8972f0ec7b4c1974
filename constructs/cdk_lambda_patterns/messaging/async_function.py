"""Event → Lambda's queue → function, retried; the record of the result → destination for success or failure.

Use it for events whose sender does not wait: Lambda queues and retries them, and reports the results. Do not
use it when the sender needs the answer (invoke synchronously), when order matters, or when bursts are larger
than your concurrency (put a queue in front: ``SqsConsumer``).
"""

from dataclasses import replace

from aws_cdk import Annotations, Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.destinations import Destination
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit, number_in, text_of
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import grant_on_table
from cdk_lambda_patterns.core.regions import TABLE_PLACE, check_region
from cdk_lambda_patterns.core.table import check_keys, make_table, text

_DAY = 24 * 60 * 60
_LONGEST_AGE = 6 * 60 * 60
_FIRST_RETRY = 60
# DynamoDB takes any time; this is far above what is meant.
_EXPIRY = Limit("this construct", 60, 366 * _DAY, "seconds")


@check_types
class AsyncFunction(Construct):
    """A function for asynchronous invocations, with destinations for its results and a table for idempotency.

    It builds the function, its settings for asynchronous invocations, the permissions to send to the
    destinations, and the table in which the idempotency utility of Powertools keeps results. Its events come
    from whatever may invoke it asynchronously: S3, SNS, EventBridge, or a caller with
    ``InvocationType=Event``.

    Lambda delivers an event at least once, and again after an error. So the handler must be idempotent: with
    Powertools' decorator, the table, and a key in the event. The function gets the environment variables
    ``IDEMPOTENCY_TABLE_NAME`` and ``IDEMPOTENCY_EXPIRES_AFTER`` (seconds), and the permissions that
    Powertools needs.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        on_success: Where the record of an event that succeeded goes: a queue, a topic, a function or an event
            bus. Default: nowhere.
        on_failure: Where the record of an event that failed permanently goes: one of these, or a bucket.
            Default: a new queue.
        asynchronous: Retries, the maximum age of events, and a dead-letter queue or topic, which gets the
            bare events that failed, in addition to the destination. Default: two retries, six hours.
        idempotency_table: Owned or imported. Its partition key is ``id``, and its time to live attribute
            ``expiration``. Default: a new table.
        expires_after: How long a result is remembered. Default: one day. At least the maximum age of events,
            or a late duplicate has a second effect.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to table, queue and logs when the stack is deleted. Default: they are
            retained.

    Raises:
        ValueError: A value is not allowed, a destination is given twice or FIFO, or the table has other keys.

    Attributes:
        function (HardenedFunction): The function.
        idempotency_table (ITable): The table with the results.
        failure_queue (IQueue | None): The queue for records of failures; ``None`` with ``on_failure``.

    Example::

        orders = AsyncFunction(self, "Orders", code="worker", on_success=bus, on_failure=bucket)
        orders.function.grant_invoke(website)

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    https://docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        handler: str = DEFAULT_HANDLER,
        on_success: sqs.IQueue | sns.ITopic | lambda_.IFunction | events.IEventBus | None = None,
        on_failure: sqs.IQueue | sns.ITopic | lambda_.IFunction | events.IEventBus | s3.IBucket | None = None,
        asynchronous: AsyncOptions | None = None,
        idempotency_table: dynamodb.ITable | None = None,
        expires_after: Duration | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        asynchronous = asynchronous or AsyncOptions()
        if on_success is not None and asynchronous.on_success is not None:
            raise ValueError("on_success and asynchronous.on_success: give one of them.")
        if on_success is not None:
            asynchronous = replace(asynchronous, on_success=Destination("on_success", on_success))
        failures = Destination("on_failure", on_failure) if on_failure is not None else None
        expires_after = expires_after or Duration.days(1)
        _check_expiry(expires_after, asynchronous.max_event_age)
        check_keys(idempotency_table, "id", time_to_live_attribute="expiration")
        check_region(scope, TABLE_PLACE, {"idempotency_table": idempotency_table}, in_account=True)
        options = (function_options or FunctionOptions()).with_defaults(
            memory_size=256, timeout=Duration.seconds(30)
        )
        super().__init__(scope, id)
        self._warn_of_long_timeout(options.timeout)

        self.idempotency_table: dynamodb.ITable = idempotency_table or make_table(
            self,
            "Idempotency",
            partition_key=text("id"),
            time_to_live_attribute="expiration",
            removal_policy=removal_policy,
        )
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            environment={
                "IDEMPOTENCY_TABLE_NAME": self.idempotency_table.table_name,
                "IDEMPOTENCY_EXPIRES_AFTER": text_of(number_in("seconds", "expires_after", expires_after)),
            },
            asynchronous=asynchronous,
            on_failure=failures,
            options=options,
            network=network,
            removal_policy=removal_policy,
        )
        self.failure_queue = self.function.failure_queue
        # Powertools reads an existing record from the answer to a refused PutItem, so it needs no GetItem.
        actions = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
        grant_on_table(self.function.execution_role, self.idempotency_table, *actions)

    def _warn_of_long_timeout(self, timeout: Duration | None) -> None:
        if timeout is not None and not timeout.is_unresolved() and timeout.to_seconds() >= _FIRST_RETRY:
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:inProgressAtRetry",
                f"timeout={timeout.to_seconds():,.0f} seconds: after a crash, the event counts as in "
                "progress until this time is over, and Lambda retries after one minute. So the first retry "
                "does no work and fails. Make the timeout shorter than a minute.",
            )


def _check_expiry(expires_after: Duration, max_event_age: Duration | None) -> None:
    _EXPIRY.check("expires_after", expires_after)
    age = max_event_age or Duration.seconds(_LONGEST_AGE)
    if expires_after.is_unresolved() or age.is_unresolved() or expires_after.to_seconds() >= age.to_seconds():
        return
    raise ValueError(
        f"expires_after={expires_after.to_seconds():,.0f} seconds: an event may be delivered again until it "
        f"is {age.to_seconds():,.0f} seconds old, and would have a second effect; give at least that."
    )
