"""LexCodeHook and AlexaSkill: who may call, and what is refused at synthesis."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.observability.service_hooks import AlexaSkill, LexCodeHook
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
EU = Environment(account="123456789012", region="eu-west-1")
ALIAS = "arn:aws:lex:eu-west-1:123456789012:bot-alias/ABCDEFGHIJ/{}"
SKILL = "amzn1.ask.skill.00000000-0000-0000-0000-000000000000"


def make_lex(stack: Stack, **more: Any) -> LexCodeHook:
    aliases = [ALIAS.format("TSTALIASID")]
    return LexCodeHook(
        stack, "Lex", **{"code": CODE, "handler": "index.handler", "bot_alias_arns": aliases, **more}
    )


def make_alexa(stack: Stack, **more: Any) -> AlexaSkill:
    return AlexaSkill(stack, "Alexa", **{"code": CODE, "handler": "index.handler", "skill_id": SKILL, **more})


@stack_with
def skills(stack: Stack) -> None:
    make_lex(stack, bot_alias_arns=[ALIAS.format("TSTALIASID"), ALIAS.format("PRODALIAS1")])
    make_alexa(stack)


def test_each_alias_of_the_bot_has_a_permission_of_its_own(skills: Resources) -> None:
    found = [
        one
        for one in skills.all("AWS::Lambda::Permission").values()
        if one["Principal"] == "lexv2.amazonaws.com"
    ]
    assert {one["SourceArn"] for one in found} == {ALIAS.format("TSTALIASID"), ALIAS.format("PRODALIAS1")}
    assert [one["SourceAccount"] for one in found] == [{"Ref": "AWS::AccountId"}] * 2


def test_alexa_may_call_for_one_skill_only(skills: Resources) -> None:
    permission = skills.only("AWS::Lambda::Permission", Principal="alexa-appkit.amazon.com")
    assert permission["EventSourceToken"] == SKILL
    (function,) = (
        one for name, one in skills.all("AWS::Lambda::Function").items() if name.startswith("Alexa")
    )
    assert function["Environment"]["Variables"]["SKILL_ID"] == SKILL
    assert function["Timeout"] == 7


@pytest.mark.parametrize(
    ("aliases", "message"),
    [
        ([], "no bot could call"),
        (["arn:aws:lex:eu-west-1:123456789012:bot/ABCDEFGHIJ"], "the ARN of a bot's alias"),
        ([ALIAS.format("*")], "the ARN of a bot's alias"),
        ([ALIAS.format("TSTALIASID").replace("west-1", "west-2")], "it is in eu-west-2"),
        ([ALIAS.format("TSTALIASID").replace("123456789012", "210987654321")], "it is in 210987654321"),
    ],
)
def test_an_alias_that_cannot_call_is_an_error(aliases: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_lex(Stack(App(), "S", env=EU), bot_alias_arns=aliases)


@pytest.mark.parametrize("skill", ["", "my skill", "x" * 257])
def test_a_skill_id_that_lambda_refuses_is_an_error(skill: str) -> None:
    with pytest.raises(ValueError, match="the id of a skill"):
        make_alexa(Stack(App(), "S"), skill_id=skill)


def test_alexa_waits_for_8_seconds() -> None:
    with pytest.raises(ValueError, match="Alexa allows 1 to 8 seconds"):
        make_alexa(Stack(App(), "S"), function_options=FunctionOptions(timeout=Duration.seconds(9)))
