"""Each service is down in turn: what customers see meanwhile, and that nothing is lost or done twice."""

from __future__ import annotations

import json
import uuid
from typing import Any

from scenarios.framework import DeployedStack, NotYet, Outcome, Story, require, wait_until
from scenarios.solutions.order_services.shop import Customer, Shop
from scenarios.support.faults import Faults

_DOWN = "ServiceDown"


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Catalogue, orders and shipping are down in turn.

    Raises:
        ScenarioFailed: An order was lost or processed twice, or a customer got no clear answer.
    """
    story = Story("Each service is down in turn", stack.tell)
    with Shop(stack) as shop:
        customer, lamp = shop.customer(), shop.product("lamp", 100)
        _without_the_catalogue(shop, customer, lamp, story)
        _without_orders(shop, customer, lamp, story)
        _without_shipping(shop, customer, lamp, story)
        require(shop.in_stock(lamp) == 94, f"{shop.in_stock(lamp)} lamps, not 94")
        story.fact("lamps", shop.in_stock(lamp))
        story.say("Six lamps were shipped, and six are missing in the stock.")
    return story.outcome()


def _unavailable(what: str, answer: tuple[int, Any]) -> None:
    status, problem = answer
    require(status == 503 and "nothing is done twice" in problem.message, f"{what}: {status} {problem}")


def _applied(fault: Any, times: int) -> None:
    def check() -> None:
        if fault.applied < times:
            raise NotYet(f"{fault.applied} failures")

    wait_until(check, what=f"{times} failures", timeout=60)


def _without_the_catalogue(shop: Shop, customer: Customer, lamp: str, story: Story) -> None:
    function = shop.stack.output("CatalogueFunctionName")
    with shop.stack.faults.function(function, error=_DOWN) as down:
        _unavailable("GET /products", customer.call("list_products"))
        order = customer.order(lamp, 1)
        _applied(down, 2)
        _, found = customer.call("get_order", order)
        require(found.status == "placed", f"meanwhile the order is {found.status}")
    customer.wait_for(order, "shipped")
    with shop.stack.faults.function(function, killed=True, after_running=True, times=1) as killed:
        customer.wait_for(customer.order(lamp, 1), "shipped")
        require(killed.applied == 1, "the catalogue was not killed")
    require(shop.in_stock(lamp) == 98, f"{shop.in_stock(lamp)} lamps, not 98")
    story.fact("without the catalogue", "shipped later")
    story.say(
        "The catalogue is down: 503 for the list, 202 for an order, which is shipped when the catalogue is "
        "back. It dies after a reservation: the workflow asks again, and nothing is reserved twice."
    )


def _without_orders(shop: Shop, customer: Customer, lamp: str, story: Story) -> None:
    order, function = str(uuid.uuid4()), shop.stack.output("OrdersFunctionName")
    with shop.stack.faults.function(function, error=_DOWN):
        _unavailable("PUT /orders", customer.put(order, lamp, 1))
        _unavailable("GET /orders", customer.call("list_orders"))
    status, _ = customer.call("get_order", order)
    require(status == 404, f"an order that was not accepted: {status}")
    with shop.stack.faults.function(function, killed=True, after_running=True, times=1):
        _unavailable("PUT /orders", customer.put(order, lamp, 1))
    status, _ = customer.put(order, lamp, 1)
    require(status == 200, f"the request again: {status}")
    customer.wait_for(order, "shipped")
    with shop.stack.faults.function(shop.stack.output("ChangesFunctionName"), error=_DOWN) as down:
        waiting = customer.order(lamp, 1)
        _applied(down, 2)
    changes = shop.stack.output("ChangesFunctionName")
    customer.wait_for(waiting, "shipped")
    with shop.stack.faults.function(changes, killed=True, after_running=True, times=1):
        customer.wait_for(customer.order(lamp, 1), "shipped")
    require(shop.in_stock(lamp) == 95, f"{shop.in_stock(lamp)} lamps, not 95")
    story.fact("without orders", 503)
    story.say(
        "Orders are down: 503, and nothing is ordered. They die after an order is stored: 503, and the same "
        "request again is 200, one order. What follows the changes is down, or dies: each order has one "
        "workflow."
    )


def _without_shipping(shop: Shop, customer: Customer, lamp: str, story: Story) -> None:
    with shop.stack.faults.function(shop.stack.output("ShippingFunctionName"), error=_DOWN):
        late, given_up = customer.order(lamp, 1), customer.order(lamp, 1)
        letters = [json.loads(body) for body in shop.wanted.wait_for_dead_letters(2)]
        [token] = [one["token"] for one in letters if one["order"] == given_up]
        shop.stack.client("stepfunctions").send_task_failure(
            taskToken=token, error="ShippingRefused", cause="an operator gives the order up"
        )
        shop.wanted.wait_for_dead_letters(3)
        # Shipping has not answered that it ships nothing: the lamp is not given back yet.
        _, found = customer.call("get_order", given_up)
        left = shop.in_stock(lamp)
        require((found.status, left) == ("placed", 93), f"the order is {found.status}, {left} lamps")
    shop.wanted.redrive()
    customer.wait_for(late, "shipped")
    customer.wait_for(given_up, "rejected")
    shop.wanted.wait_until_empty()
    shop.wait_for_shipments({late: "booked", given_up: "cancelled"})
    story.fact("without shipping", "redriven")
    story.say(
        "Shipping is down for long: its messages become dead letters, and a redrive ships the order. "
        "One that an operator gave up meanwhile is cancelled by the same redrive, which ships nothing of it: "
        "then its lamp is given back, and it is rejected."
    )
