"""Customers order with a client that is generated from the exported API; some orders are undone."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from botocore.exceptions import ClientError

from scenarios.framework import (
    BilledEvent,
    Covered,
    DeployedStack,
    NotYet,
    Outcome,
    ScenarioFailed,
    Story,
    require,
)
from scenarios.solutions.order_services.client import OPERATIONS
from scenarios.solutions.order_services.drill import drill
from scenarios.solutions.order_services.shop import Customer, Shop
from scenarios.support.leftovers import in_queues, in_tables

__all__ = ["ACCEPTED_NOT_EMULATED", "EVENT", "ROLES", "Shop", "drill", "leftovers", "run", "smoke"]

# What the embedded AWS accepts but does not emulate, and why the scenario proves its facts all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::StepFunctions::StateMachine.TracingConfiguration": "no outcome depends on traces",
}

# What has a role, and the tables that the role may use.
_SERVICES = {
    "CatalogueFunctionName": {"CatalogueTableName"},
    "OrdersFunctionName": {"OrdersTableName", "ByCustomerTableName"},
    "ChangesFunctionName": {"ByCustomerTableName"},
    "StateMachineArn": {"OrdersTableName"},
    "ShippingFunctionName": {"ShipmentsTableName"},
}
_ACTIONS = ("GetItem", "Query", "Scan", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem")


def run(stack: DeployedStack) -> Outcome:
    """Customers order what can be shipped, and what cannot.

    Raises:
        ScenarioFailed: An order has another end than it should, or a service the data of another one.
    """
    story = Story("A shop of three services", stack.tell)
    with Shop(stack) as shop:
        story.fact("operations", len(OPERATIONS))
        story.say(f"A client is generated from the exported API: {', '.join(OPERATIONS)}.")
        ann, ben = shop.customer(), shop.customer()
        with story.timed("order"):
            _order(shop, ann, ben, story)
        _reject(shop, ann, story)
        _refuse(shop, ann, story)
        _own_data(stack, story)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Use each permission once: an order that is shipped, and one that shipping refuses.

    Raises:
        ScenarioFailed: One has another end.
    """
    with Shop(stack) as shop:
        customer, lamp = shop.customer(), shop.product("lamp", 100)
        status, _ = customer.call("list_products")
        require(status == 200, f"GET /products: {status}")
        for quantity, end in ((1, "shipped"), (50, "rejected")):
            customer.wait_for(order := customer.order(lamp, quantity), end)
            _listed(shop, customer, order, end)


def smoke_workflow(stack: DeployedStack) -> None:
    """Use each permission of the workflow's role once: the delivery of logs is checked at an update.

    Raises:
        ScenarioFailed: An order has another end; the message has the causes from the history.
    """
    workflows, arn = stack.client("stepfunctions"), stack.output("StateMachineArn")
    settings = workflows.describe_state_machine(stateMachineArn=arn)["loggingConfiguration"]
    try:
        workflows.update_state_machine(stateMachineArn=arn, loggingConfiguration=settings)
    except ClientError as error:
        require(False, str(error))
    known = {one["executionArn"] for one in workflows.list_executions(stateMachineArn=arn)["executions"]}
    try:
        smoke(stack)
    except ScenarioFailed as failed:
        mine = {one["executionArn"] for one in workflows.list_executions(stateMachineArn=arn)["executions"]}
        causes = {
            str(details.get("cause"))
            for one in mine - known
            for event in workflows.get_execution_history(executionArn=one)["events"]
            for details in event.values()
            if isinstance(details, dict)
        }
        raise ScenarioFailed(f"{failed}; causes: {causes}") from failed


def one_order(stack: DeployedStack) -> None:
    """Place an order that is shipped; it stays, because its deletion would be another event."""
    shop = Shop(stack)
    order = shop.customer().order(shop.product("lamp", 1), 1)
    shop.wait_for_rows({order: "shipped"})


EVENT = BilledEvent("an order is placed, reserved and shipped", one_order)

# What has failed for a day is reported by Lambda: `dynamodb-stream` shows that.
_REPORTS = frozenset({"sqs:SendMessage"})
ROLES: tuple[Covered, ...] = (
    Covered("CatalogueFunctionName", smoke),
    Covered("OrdersFunctionName", smoke),
    Covered("ChangesFunctionName", smoke, only_for_failures=_REPORTS),
    Covered("ShippingFunctionName", smoke),
    Covered("StateMachineArn", smoke_workflow, function="CatalogueFunctionName", patience=10),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the items, messages and customers that a run or a drill left behind."""
    users = stack.client("cognito-idp").list_users(UserPoolId=stack.output("UserPoolId"))["Users"]
    return [*in_tables(stack), *in_queues(stack), *(f"customer: {user['Username']}" for user in users)]


def _order(shop: Shop, ann: Customer, ben: Customer, story: Story) -> None:
    lamp = shop.product("lamp", 10)
    status, found = ann.call("list_products")
    shown = {one.product: one.in_stock for one in found.products}
    require((status, shown.get(lamp)) == (200, 10), f"GET /products: {status} {shown}")
    order = ann.order(lamp, 2)
    ann.wait_for(order, "shipped")
    repeated, _ = ann.put(order, lamp, 2)
    other, _ = ann.put(order, lamp, 3)
    taken, _ = ben.put(order, lamp, 2)
    unseen, _ = ben.call("get_order", order)
    require(
        (repeated, other, taken, unseen) == (200, 409, 409, 404),
        f"repeated, with another quantity, by another customer, read by it: {repeated, other, taken, unseen}",
    )
    _listed(shop, ann, order, "shipped")
    _, of_ben = ben.call("list_orders")
    require(of_ben.orders == [], f"Ben sees {of_ben.orders}")
    require(shop.in_stock(lamp) == 8, f"{shop.in_stock(lamp)} lamps, not 8")
    story.fact("repeated order", repeated)
    story.say("Ann orders two lamps of ten: 202, and they are shipped. The same request again is 200.")
    story.say("409 for another order of that id; 404 for Ben, who asks for it.")


def _listed(shop: Shop, customer: Customer, order: str, status: str) -> None:
    """The read model lags slightly behind."""

    def check() -> None:
        code, found = customer.call("list_orders")
        if code != 200:
            raise NotYet(f"GET /orders: {code} {found}")
        seen = {one.order: str(one.status) for one in found.orders}
        if seen.get(order) != status:
            raise NotYet(f"the list: {seen}")

    shop.stack.wait_until(check, "the list of a customer's orders")


def _reject(shop: Shop, ann: Customer, story: Story) -> None:
    pencil = shop.product("pencil", 100)
    ends: dict[str, str] = {}
    for product, quantity in ((pencil, 25), (pencil, 101), (f"spoon/{shop.run_id}", 1)):
        rejected = ann.wait_for(ann.order(product, quantity), "rejected")
        ends[rejected.reason] = rejected.order
    require(set(ends) == {"ShippingRefused", "OutOfStock", "UnknownProduct"}, f"the reasons: {set(ends)}")
    shop.wait_for_shipments({ends.pop("ShippingRefused"): "cancelled", **dict.fromkeys(ends.values(), "")})
    require(shop.in_stock(pencil) == 100, f"{shop.in_stock(pencil)} pencils, not 100")
    story.fact("rejected orders", 1 + len(ends))
    story.say(
        "25 pencils are reserved, and no carrier takes so many: they are given back, and the order is "
        "rejected. So is one for more than there are, and one for what there is not."
    )


def _refuse(shop: Shop, ann: Customer, story: Story) -> None:
    """API Gateway verifies the token and a body of JSON; the function, any other body."""
    unknown, _ = shop.signed_in("no.valid.token").call("list_orders")
    invalid, problem = ann.put(str(uuid.uuid4()), "lamp", 0)
    no_id, _ = ann.put("not a UUID", "lamp", 1)
    plain = ann.client.get_httpx_client().put(
        f"orders/{uuid.uuid4()}",
        content='{"product": "lamp", "quantity": -1}',
        headers={"Content-Type": "text/plain"},
    )
    seen = (unknown, invalid, no_id, plain.status_code)
    require(seen == (401, 400, 400, 400), f"refused: {seen}")
    require(bool(problem.message), "a 400 without a reason")
    story.fact("refused requests", 4)
    story.say(
        "401 without a valid token; 400 for no lamps, for -1 as text/plain, and for an id that is no UUID."
    )


def _own_data(stack: DeployedStack, story: Story) -> None:
    """IAM says which tables each function may use."""
    simulate = stack.client("iam").simulate_principal_policy
    describe = stack.client("dynamodb").describe_table
    tables = {
        name: describe(TableName=stack.output(name))["Table"]["TableArn"]
        for name in set().union(*_SERVICES.values())
    }
    actions, denied = [f"dynamodb:{action}" for action in _ACTIONS], 0
    for owner, own in _SERVICES.items():
        for name, arn in tables.items():
            answer = simulate(PolicySourceArn=_role(stack, owner), ActionNames=actions, ResourceArns=[arn])
            allowed = [
                one["EvalActionName"]
                for one in answer["EvaluationResults"]
                if one["EvalDecision"] == "allowed"
            ]
            require(bool(allowed) == (name in own), f"{owner} may {allowed or 'nothing'} on {name}")
            denied += not allowed
    story.fact("tables of other services", denied)
    story.say("No service may read or write a table of another one: IAM denies it.")


def _role(stack: DeployedStack, owner: str) -> str:
    """The ARN of the role of a function or of the workflow."""
    name = stack.output(owner)
    if owner == "StateMachineArn":
        return str(stack.client("stepfunctions").describe_state_machine(stateMachineArn=name)["roleArn"])
    return str(stack.client("lambda").get_function_configuration(FunctionName=name)["Role"])
