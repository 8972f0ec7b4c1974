"""The part of the scenario about Lex and Alexa: orders of coffee in two conversations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import Covered, DeployedStack, Story, require
from scenarios.observability.service_hooks.rows import Rows, arn_of, rows_of_run
from scenarios.support.faults import Faults

ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_LEX, _ALEXA = "lexv2.amazonaws.com", "alexa-appkit.amazon.com"


class Bot:
    """A conversation with the Lex bot.

    Args:
        stack: The deployed stack, on the embedded AWS.
        rows: The rows of this run.
    """

    def __init__(self, stack: DeployedStack, rows: Rows) -> None:
        self._deliver_as, self._alias = stack.deliver_as, stack.output("LexBotAliasArn")
        self._function, self.rows = arn_of(stack, "LexFunctionName"), rows
        self.request_id = rows.run_id

    def turn(self, hook: str, size: str | None, *, alias: str | None = None) -> dict[str, Any]:
        """Let Lex call a code hook, and return the answer."""
        assert self._deliver_as is not None
        value: dict[str, Any] = {"originalValue": size, "interpretedValue": size, "resolvedValues": []}
        slots = {"Size": None if size is None else {"shape": "Scalar", "value": value}}
        intent = {
            "name": "OrderCoffee",
            "slots": slots,
            "state": "ReadyForFulfillment" if hook == "FulfillmentCodeHook" else "InProgress",
            "confirmationState": "None",
        }
        # https://docs.aws.amazon.com/lexv2/latest/dg/lambda-input-format.html
        event = {
            "messageVersion": "1.0",
            "invocationSource": hook,
            "inputMode": "Text",
            "responseContentType": "text/plain; charset=utf-8",
            "sessionId": "session",
            "inputTranscript": size or "I would like a coffee",
            "bot": {"id": "COFFEEBOT1", "name": "Coffee", "localeId": "en_US", "version": "1"},
            "interpretations": [{"intent": intent, "nluConfidence": 0.9, "interpretationSource": "Lex"}],
            "proposedNextState": {"dialogAction": {"type": "Close"}, "intent": intent},
            "requestAttributes": {},
            "sessionState": {
                "activeContexts": [],
                "sessionAttributes": {"table": "7"},
                "intent": intent,
                "originatingRequestId": self.request_id,
            },
            "transcriptions": [],
        }
        answer: dict[str, Any] = self._deliver_as(_LEX, alias or self._alias, self._function, event).payload
        return answer

    def row(self) -> dict[str, str] | None:
        """The order of this conversation."""
        return self.rows.find(f"lex#{self.request_id}")


class Skill:
    """A conversation with the Alexa skill.

    Args:
        stack: The deployed stack, on the embedded AWS.
        rows: The rows of this run.
    """

    def __init__(self, stack: DeployedStack, rows: Rows) -> None:
        self._deliver_as, self._skill_id = stack.deliver_as, stack.output("AlexaSkillId")
        self._function, self.rows = arn_of(stack, "AlexaFunctionName"), rows
        self.request_id = f"amzn1.echo-api.request.{rows.run_id}"

    def ask(
        self,
        kind: str,
        *,
        size: str = "",
        called_for: str | None = None,
        skill: str | None = None,
        age: int = 0,
    ) -> Any:
        """Let Alexa call the function, and return what came of it."""
        assert self._deliver_as is not None
        sent = datetime.now(UTC) - timedelta(seconds=age)
        request: dict[str, Any] = {
            "type": kind,
            "requestId": self.request_id,
            "timestamp": f"{sent:%Y-%m-%dT%H:%M:%SZ}",
            "locale": "en-US",
        }
        if kind == "IntentRequest":
            slots = {"Size": {"name": "Size", "value": size, "confirmationStatus": "NONE"}}
            request["intent"] = {"name": "OrderCoffee", "confirmationStatus": "NONE", "slots": slots}
        if kind == "SessionEndedRequest":
            request["reason"] = "USER_INITIATED"
        # https://developer.amazon.com/en-US/docs/alexa/custom-skills/request-and-response-json-reference.html
        application = {"applicationId": skill or self._skill_id}
        event = {
            "version": "1.0",
            "session": {
                "new": True,
                "sessionId": f"amzn1.echo-api.session.{uuid4()}",
                "application": application,
            },
            "context": {"System": {"application": application, "apiEndpoint": "https://api.amazonalexa.com"}},
            "request": request,
        }
        return self._deliver_as(
            _ALEXA, "", self._function, event, event_source_token=called_for or self._skill_id
        )

    def row(self) -> dict[str, str] | None:
        """The order of this conversation."""
        return self.rows.find(f"alexa#{self.request_id}")


def run(stack: DeployedStack, story: Story) -> None:
    """An order by each of them; what else people say, and requests that are none of the skill's.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    if stack.deliver_as is None:
        story.say("Lex and Alexa: not shown. Only the services can call the functions.")
        return
    with rows_of_run(stack) as rows:
        _talk_to_bot(Bot(stack, rows), story)
        _talk_to_skill(Skill(stack, rows), story)


def _talk_to_bot(bot: Bot, story: Story) -> None:
    said = [_action(bot.turn("DialogCodeHook", size)) for size in (None, "giant", "large")]
    require(said == ["Delegate", "ElicitSlot", "Delegate"], f"the bot does {said}")
    require(bot.row() is None, "there is an order before the end of the dialog")
    answers = [bot.turn("FulfillmentCodeHook", "large") for _ in range(2)]
    require({_state(one) for one in answers} == {"Fulfilled"}, f"the answers are {answers}")
    require(answers[0]["sessionState"]["sessionAttributes"] == {"table": "7"}, f"it is {answers[0]}")
    require((bot.row() or {}).get("size") == "large", f"the order is {bot.row()}")
    story.fact("dialog", " ".join(said))
    story.fact("intent", _state(answers[0]))
    story.say(
        "Lex: the hook asked again for a size that there is not, left the rest of the dialog to the bot,"
    )
    story.say("     and fulfilled the order, once although it was called twice.")


def _talk_to_skill(skill: Skill, story: Story) -> None:
    welcome = skill.ask("LaunchRequest").payload["response"]
    require(welcome["shouldEndSession"] is False, f"the skill says {welcome}")
    again = skill.ask("IntentRequest", size="giant").payload["response"]
    require(again["shouldEndSession"] is False and skill.row() is None, f"the skill says {again}")
    thanks = skill.ask("IntentRequest", size="large").payload["response"]
    require(thanks["shouldEndSession"] is True, f"the skill says {thanks}")
    require((skill.row() or {}).get("size") == "large", f"the order is {skill.row()}")
    ended = skill.ask("SessionEndedRequest").payload
    require(ended["response"] == {}, f"the skill speaks after the end: {ended}")
    for wrong in ({"skill": "amzn1.ask.skill.another"}, {"age": 200}):
        answer = skill.ask("IntentRequest", size="small", **wrong)
        require(answer.payload.get("errorType") == "Refused", f"{wrong} was answered with {answer}")
    story.fact("speech", thanks["outputSpeech"]["text"])
    story.say("Alexa: the skill took an order. A request of another skill, and one that is 200 seconds old,")
    story.say("     were refused.")


def drill(stack: DeployedStack, faults: Faults, story: Story) -> None:
    """Another bot and another skill, and a function that cannot take orders.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    with rows_of_run(stack) as rows:
        bot, skill = Bot(stack, rows), Skill(stack, rows)
        refused = []
        for call in (
            lambda: bot.turn("DialogCodeHook", None, alias=stack.output("LexBotAliasArn")[:-1] + "2"),
            lambda: skill.ask("LaunchRequest", called_for="amzn1.ask.skill.another"),
        ):
            try:
                call()
            except ClientError as error:
                refused.append(error.response["Error"]["Code"])
        require(refused == ["AccessDeniedException"] * 2, f"the policies refuse {refused}")
        with faults.without_permission(faults.role_of(stack.output("LexFunctionName")), "dynamodb:PutItem"):
            answer = bot.turn("FulfillmentCodeHook", "large")
        require(_state(answer) == "Failed" and bot.row() is None, f"the bot says {answer}")
        require(_state(bot.turn("FulfillmentCodeHook", "large")) == "Fulfilled", "the bot does not recover")
        story.fact("intent without the table", _state(answer))
        story.fact("callers refused", len(refused))
    story.say("Lex and Alexa: another bot and another skill may not call. An order that could not be taken")
    story.say("     is an intent that failed, with an apology, and not an error.")


def _action(answer: Mapping[str, Any]) -> str:
    kind: str = answer["sessionState"]["dialogAction"]["type"]
    return kind


def _state(answer: Mapping[str, Any]) -> str:
    state: str = answer["sessionState"]["intent"]["state"]
    return state


def smoke_lex(stack: DeployedStack) -> None:
    """Exercise each permission of Lex's function.

    Raises:
        ScenarioFailed: The order is not taken.
    """
    with rows_of_run(stack) as rows:
        answer = Bot(stack, rows).turn("FulfillmentCodeHook", "large")
        require(_state(answer) == "Fulfilled", f"the bot says {answer}")


def smoke_alexa(stack: DeployedStack) -> None:
    """Exercise each permission of Alexa's function.

    Raises:
        ScenarioFailed: The order is not taken.
    """
    with rows_of_run(stack) as rows:
        skill = Skill(stack, rows)
        answer = skill.ask("IntentRequest", size="large").payload
        require(skill.row() is not None, f"the skill says {answer}")


ROLES = (Covered("LexFunctionName", smoke_lex), Covered("AlexaFunctionName", smoke_alexa))


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what the others do not see: nothing."""
    return []
