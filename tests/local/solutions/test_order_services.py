"""The shop of three services, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import DeployedStack, Outcome
from scenarios.solutions import order_services

pytestmark = pytest.mark.local


def test_orders_are_shipped_or_undone_and_services_own_their_data(outcome: Outcome) -> None:
    assert outcome.facts == {
        "operations": 4,
        "repeated order": 200,
        "rejected orders": 3,
        "refused requests": 4,
        "tables of other services": 14,
    }


def test_a_service_that_is_down_delays_orders_and_loses_none(drilled: Outcome) -> None:
    assert drilled.facts == {
        "without the catalogue": "shipped later",
        "without orders": 503,
        "without shipping": "redriven",
        "lamps": 94,
    }


def test_leftovers_are_items_and_customers(stack: DeployedStack) -> None:
    with order_services.Shop(stack) as shop:
        shop.customer()
        shop.product("left", 1)
        kinds = [line.partition(":")[0] for line in order_services.leftovers(stack)]
        assert kinds == ["CatalogueTableName", "customer"]
    assert order_services.leftovers(stack) == []
