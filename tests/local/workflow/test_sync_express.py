"""Orders through the deployed workflow."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from scenarios.framework import DeployedStack, Outcome, ScenarioFailed, Story
from scenarios.support.faults import Faults
from scenarios.workflow import sync_express

pytestmark = pytest.mark.local


def test_errors_have_statuses_and_a_retry_cures(outcome: Outcome) -> None:
    assert (outcome.facts["errors"], outcome.facts["attempts"]) == (6, 3)
    assert int(outcome.facts["logged events"]) > 10


def test_nothing_is_reserved_while_something_is_missing(drilled: Outcome) -> None:
    assert drilled.facts == {"in stock": 0}


def test_a_real_account_is_not_made_busy(stack: DeployedStack) -> None:
    story = Story("")
    with closing(sync_express.Shop(stack)) as shop:
        sync_express.busy(replace(stack, faults=None), shop, story)
    assert story.outcome().facts == {}


def test_leftovers_are_products(stack: DeployedStack) -> None:
    shop = sync_express.Shop(stack)
    assert len(sync_express.leftovers(stack)) == 2
    shop.close()
    assert sync_express.leftovers(stack) == []


def test_a_function_that_reserves_nothing_fails_the_scenario(stack: DeployedStack) -> None:
    faults = Faults(stack.session)
    role = faults.role_of(stack.output("FunctionName"))
    with (
        faults.without_permission(role, "dynamodb:UpdateItem"),
        pytest.raises(ScenarioFailed, match="expected, not"),
    ):
        sync_express.run(stack)
    assert sync_express.leftovers(stack) == []
