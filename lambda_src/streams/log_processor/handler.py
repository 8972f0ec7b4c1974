"""Batch of log events → problems → rows and numbers in DynamoDB, a metric, an alert.

The metric is a log event in the embedded metric format: it needs no permission, no call that can be
throttled, and is not lost if the next call fails. Its value is the number of the minute so far, and not an
increment: a batch that is delivered again publishes the same number again, so the statistic Maximum is right.
"""

import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    from shared.clients import FailureQueue, make_clients
    from shared.failures import Failures
    from shared.shares import Shares

    from .batches import NotABatch, NotALogEvent, check, problems, read
    from .findings import Findings

    logger = Logger()
    _dynamodb, _sns, _sqs = make_clients("dynamodb", "sns", "sqs")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

findings = Findings(_dynamodb, os.environ["TABLE_NAME"], _sns, os.environ["ALERTS_TOPIC_ARN"])
failure_queue = FailureQueue(_sqs, os.environ["FAILURE_QUEUE_URL"])


@logger.inject_lambda_context
def handler(event: Any, context: "LambdaContext") -> None:
    """Process a batch. Its text is never logged: it is that of other applications."""
    try:
        batch = read(event)
    except NotABatch as reason:
        logger.warning("not a batch", reason=str(reason))
        raise
    if batch is None:
        logger.info("CloudWatch Logs has tried the subscription")
        return
    failures, valid = Failures(failure_queue, logger, context), []
    for one in batch.events:
        if (lacks := check(one)) is None:
            valid.append(one)
            continue
        with failures.recorded(batch.only(one)):
            raise NotALogEvent(lacks)
    found = list(problems(valid))
    counted = findings.count(batch.group, batch.stream, found, Shares(context, 1).next())
    for minute, (number, first) in counted.items():
        publish(batch.group, minute, number)
        alerted = findings.alert(batch.group, minute, number, first)
        logger.info("problems", log_group=batch.group, minute=minute, number=number, alerted=alerted)
    logger.info(
        "processed",
        log_group=batch.group,
        log_stream=batch.stream,
        events=len(batch.events),
        problems=len(found),
    )


def publish(group: str, minute: str, number: int) -> None:
    """Publish how many problems a minute has so far; the statistic to use is Maximum, by minutes."""
    metrics = EphemeralMetrics()
    metrics.add_dimension(name="LogGroup", value=group)
    metrics.add_metric(name="Problems", unit=MetricUnit.Count, value=number)
    metrics.set_timestamp(int(datetime.fromisoformat(minute).timestamp() * 1000))
    metrics.flush_metrics()
