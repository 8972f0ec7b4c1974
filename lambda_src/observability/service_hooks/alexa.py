"""Alexa skill → Lambda → speech.

Alexa's requests to a function are not signed: only a web service must verify signature and certificate. Alexa
calls Lambda's API, and the policy of the function names the skill. The handler checks the skill and the age
of the request all the same, so that no other caller of the function can act for the skill or repeat one.

https://developer.amazon.com/en-US/docs/alexa/custom-skills/host-a-custom-skill-as-an-aws-lambda-function.html
https://developer.amazon.com/en-US/docs/alexa/custom-skills/host-a-custom-skill-as-a-web-service.html
https://developer.amazon.com/en-US/docs/alexa/custom-skills/request-and-response-json-reference.html
"""

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients

    from .orders import FAILED, NOT_ORDERED, SIZES, order, thanks, wrong_size
    from .records import Records

    logger = Logger()
    (_dynamodb,) = make_clients("dynamodb")
    records = Records(_dynamodb, os.environ["TABLE_NAME"])

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# Amazon requires this of web services.
_TOLERANCE = timedelta(seconds=150)
_WELCOME = "Welcome to the coffee bar. Say: order a large coffee."


class Refused(ValueError):
    """The request is not for this skill, or is too old; the text gives the reason."""


def check(event: dict[str, Any], skill_id: str, now: datetime) -> None:
    """Check that a request is for a skill, and new.

    Raises:
        Refused: It is not.
    """
    try:
        application = event["context"]["System"]["application"]["applicationId"]
        sent = datetime.fromisoformat(event["request"]["timestamp"])
        age = abs(now - sent)
    except (KeyError, TypeError, ValueError):
        raise Refused("it has no skill, or no timestamp such as 2026-11-27T12:00:00Z") from None
    if application != skill_id:
        raise Refused(f"the request is for the skill {application!r}")
    if age > _TOLERANCE:
        raise Refused(f"the request was sent at {sent.isoformat()}")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request. Alexa waits for 8 seconds."""
    check(event, os.environ["SKILL_ID"], datetime.now(UTC))
    request = event["request"]
    logger.info("request", type=request["type"], request_id=request["requestId"])
    match request["type"]:
        case "LaunchRequest":
            return _say(_WELCOME, end=False)
        case "IntentRequest":
            return _intent(request)
        case "SessionEndedRequest" | "System.ExceptionEncountered":  # it takes no answer
            logger.info("over", reason=request.get("reason"), error=request.get("error"))
            return {"version": "1.0", "response": {}}
        case "CanFulfillIntentRequest":  # Alexa looks for a skill; it takes no speech
            return {"version": "1.0", "response": {"canFulfillIntent": {"canFulfill": "NO"}}}
        case _:
            return _say("I cannot do that.", end=True)


def _intent(request: dict[str, Any]) -> dict[str, Any]:
    intent = request["intent"]
    match intent["name"]:
        case "OrderCoffee":
            if intent.get("confirmationStatus") == "DENIED":
                return _say(NOT_ORDERED, end=True)
            size = str(((intent.get("slots") or {}).get("Size") or {}).get("value") or "").lower()
            if size not in SIZES:
                return _say(wrong_size(size) if size else "What size would you like?", end=False)
            try:
                order(records, "alexa", request["requestId"], size)
            except Exception:  # whatever it is, the customer must hear that there is no order
                logger.exception("the order has failed")
                return _say(FAILED, end=True)
            return _say(thanks(size), end=True)
        case "AMAZON.StopIntent" | "AMAZON.CancelIntent":
            return _say("Goodbye.", end=True)
        case _:
            return _say(_WELCOME, end=False)


def _say(text: str, *, end: bool) -> dict[str, Any]:
    speech = {"type": "PlainText", "text": text}
    return {"version": "1.0", "response": {"outputSpeech": speech, "shouldEndSession": end}}
