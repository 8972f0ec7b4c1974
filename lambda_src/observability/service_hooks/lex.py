"""Lex V2 bot → code hook → a slot is checked during the dialog, and the intent is fulfilled at its end.

Lex waits for each answer. An exception would end the conversation with a message of the bot that explains
nothing, so an order that fails is an answer as well: the intent's state is ``Failed``.

https://docs.aws.amazon.com/lexv2/latest/dg/lambda-input-format.html
https://docs.aws.amazon.com/lexv2/latest/dg/lambda-response-format.html
"""

import os
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


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer one turn of a conversation."""
    state = event["sessionState"]
    intent, hook = state["intent"], event["invocationSource"]
    logger.info("turn", hook=hook, intent=intent["name"], bot=event["bot"]["id"])
    if intent["name"] != "OrderCoffee":
        return _close(state, "Failed", "I can only take orders of coffee.")
    if hook == "FulfillmentCodeHook" and intent.get("confirmationState") == "Denied":
        return _close(state, "Failed", NOT_ORDERED)
    size = _value(intent, "Size")
    if size is not None and size not in SIZES:
        return _elicit(state, "Size", wrong_size(size))
    if hook == "DialogCodeHook":
        return _answer(state, {"type": "Delegate"})  # Lex does what the bot defines next
    if size is None:
        return _elicit(state, "Size", "What size would you like?")
    try:
        new = order(records, "lex", state["originatingRequestId"], size)
    except Exception:  # whatever it is, the customer must hear that there is no order
        logger.exception("the order has failed")
        return _close(state, "Failed", FAILED)
    logger.info("ordered" if new else "came twice")
    return _close(state, "Fulfilled", thanks(size))


def _value(intent: dict[str, Any], slot: str) -> str | None:
    """The value of a slot, as Lex has understood it; `None` if it has none yet."""
    found = (intent.get("slots") or {}).get(slot) or {}
    value = found.get("value") or {}
    text: str | None = value.get("interpretedValue") or value.get("originalValue")
    return text.lower() if text else None


def _elicit(state: dict[str, Any], slot: str, text: str) -> dict[str, Any]:
    intent = {
        **state["intent"],
        "slots": {**(state["intent"].get("slots") or {}), slot: None},
        "state": "InProgress",
    }
    return _answer({**state, "intent": intent}, {"type": "ElicitSlot", "slotToElicit": slot}, text)


def _close(state: dict[str, Any], result: str, text: str) -> dict[str, Any]:
    return _answer({**state, "intent": {**state["intent"], "state": result}}, {"type": "Close"}, text)


def _answer(state: dict[str, Any], action: dict[str, str], text: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = {
        "sessionState": {
            "sessionAttributes": state.get("sessionAttributes") or {},
            "dialogAction": action,
            "intent": state["intent"],
        }
    }
    if text:
        answer["messages"] = [{"contentType": "PlainText", "content": text}]
    return answer
