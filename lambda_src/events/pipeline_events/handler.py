"""State change of a pipeline, or change of a branch or tag → notification by SNS, once for each event.

CodePipeline and EventBridge deliver at least once, and Lambda again after an error. The id of the event is
the key of Powertools' idempotency: a duplicate is not published again. If the function is killed after SNS
has accepted a message and before that is stored, the retry publishes it a second time. SNS cannot prevent
that (only its FIFO topics drop duplicates), and a second message is better than none.
"""

import json
import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger
    from aws_lambda_powertools.utilities.idempotency import (
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent,
    )

    from shared.clients import make_clients

    logger = Logger()
    _dynamodb, _sns = make_clients("dynamodb", "sns")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

TOPIC_ARN = os.environ["TOPIC_ARN"]
reported = DynamoDBPersistenceLayer(os.environ["IDEMPOTENCY_TABLE_NAME"], boto3_client=_dynamodb)
idempotency = IdempotencyConfig(
    event_key_jmespath="id",
    raise_on_no_idempotency_key=True,
    expires_after_seconds=int(os.environ["IDEMPOTENCY_EXPIRES_AFTER"]),
    hash_function="sha256",
)
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_LONGEST_SUBJECT = 100


class NotUnderstood(ValueError):
    """The event is none that this function knows; the message gives the reason."""


def sentence_about(event: dict[str, Any]) -> str:
    """Return what happened, as a sentence.

    Raises:
        NotUnderstood: The event has another type, or lacks a field.
    """
    try:
        detail = event["detail"]
        match event["detail-type"]:
            case "CodePipeline Pipeline Execution State Change":
                return f"Pipeline {detail['pipeline']}: {detail['state']}"
            case "CodePipeline Stage Execution State Change":
                return f"Stage {detail['stage']} of {detail['pipeline']}: {detail['state']}"
            case "CodePipeline Action Execution State Change":
                where = f"{detail['action']} in stage {detail['stage']} of {detail['pipeline']}"
                return f"Action {where}: {detail['state']}{_reason(detail)}"
            case "CodeCommit Repository State Change":
                change = detail["event"].removeprefix("reference").lower()
                name = f"{detail['referenceType']} {detail['referenceName']}"
                return f"Repository {detail['repositoryName']}: {name} {change}"
            case other:
                raise NotUnderstood(f"detail-type {other!r}")
    except (KeyError, TypeError, AttributeError) as error:
        raise NotUnderstood(f"the event is incomplete: {type(error).__name__} {error}") from None


def _reason(detail: dict[str, Any]) -> str:
    """What an action says about its result: a function in ``externalExecutionSummary``, for example."""
    summary = (detail.get("execution-result") or {}).get("external-execution-summary")
    return f" ({summary})" if summary else ""


@idempotent(config=idempotency, persistence_store=reported)
def report(event: dict[str, Any], context: "LambdaContext") -> str:
    """Publish an event, unless it is published; return the id of the message."""
    sentence = sentence_about(event)
    message: str = _sns.publish(
        TopicArn=TOPIC_ARN,
        Subject=_subject(sentence),
        Message=json.dumps({"text": sentence, "event": event}),
    )["MessageId"]
    return message


def _subject(sentence: str) -> str:
    """SNS takes printable ASCII characters only, at most 100."""
    return "".join(one if " " <= one <= "~" else "?" for one in sentence)[:_LONGEST_SUBJECT]


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> str:
    """Report an event of EventBridge."""
    if not isinstance(event, dict):
        raise NotUnderstood("the event is not an object")
    try:
        message: str = report(event, context)
    except Exception as reason:
        logger.warning("not reported", event_id=event.get("id"), reason=str(reason))
        raise
    logger.info("reported", event_id=event["id"], message_id=message)
    return message
