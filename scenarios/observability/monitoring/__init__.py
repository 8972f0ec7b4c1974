"""Runs a small shop under ordinary load, then breaks its parts, and watches which alarms go off and end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.observability.monitoring.shop import Shop
from scenarios.observability.monitoring.watch import Watch
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

ORDERS = 10
_ENOUGH = 6  # orders or requests: more than the minimum that counts
_LATE = 11  # seconds, more than any age or duration that is allowed


def run(stack: DeployedStack) -> Outcome:
    """Place orders: every alarm stays quiet. Show the dashboard, and run the saved queries.

    Raises:
        ScenarioFailed: An alarm went off, or a saved query did not find the invocations.
    """
    story, watch = Story("Ordinary load disturbs no one", stack.tell), Watch(stack)
    with closing(Shop(stack)) as shop:
        shop.place(1)  # every function starts
        shop.wait_until_processed()
        watch.wait_until_quiet()
        began = watch.now()
        with story.timed("ordinary load"):
            shop.place(ORDERS)
            shop.wait_until_processed()
            watch.wait_until_evaluated()
        rang = watch.went_off_since(began)
        require(not rang, f"alarms went off under ordinary load: {sorted(rang)}")
        story.fact("orders", ORDERS)
        story.fact("alarms", len(watch.names))
        story.fact("went off", len(rang))
        story.say(f"Placed {ORDERS} orders: none of {len(watch.names)} alarms went off.")
        rows = watch.saved_query("Durations", least=4)
    story.fact("functions in the saved query", len(rows))
    story.say("The saved query Durations, by log group:")
    for row in rows:
        story.say(f"  {row['@log'].partition(':')[2]}: {row['invocations']} invocations, p99 {row['p99']} ms")
    watch.saved_query("Slowest invocations", least=ORDERS)
    watch.saved_query("Cold starts")  # none, if every function was warm
    widgets = watch.widgets()
    story.fact("widgets", len(widgets))
    titles = ", ".join(one["properties"]["title"] for one in widgets[:5])
    story.say(f"The dashboard has {len(widgets)} widgets: {titles}, …")
    return story.outcome()


def drill(stack: DeployedStack, _faults: Faults) -> Outcome:
    """Break every part of the shop, so that each kind of alarm goes off, and mend it, so that each ends.

    Raises:
        ScenarioFailed: An alarm did not go off, went off without its fault, or did not end.
    """
    story, watch = Story("Each fault has its alarm", stack.tell), Watch(stack)
    with closing(Shop(stack)) as shop:
        _break_everything(stack, shop, watch, story)
        _throttle_and_discard(stack, shop, watch, story)
        path = watch.save_metrics(stack.out / "monitoring" / "metrics.json")
    return story.outcome([path])


def _break_everything(stack: DeployedStack, shop: Shop, watch: Watch, story: Story) -> None:
    """A mailer that fails, a consumer that is disabled, one that is slow, then a website that is both."""
    watch.wait_until_quiet()
    began, faults = watch.now(), stack.faults
    with watch.faulty() as broken, story.timed("first faults"):
        broken.enter_context(faults.function(shop.mailer, error="MailServerUnreachable"))
        broken.enter_context(faults.function(shop.counting, latency=_LATE, times=1))
        broken.enter_context(shop.shipping_disabled())
        shop.place(_ENOUGH)
        broken.enter_context(faults.function(shop.website, error="OutOfMemory", latency=_LATE))
        website = {"Website: Errors", "Website: Duration", "Api/Api: ServerErrors"}
        mailer = {f"Mailer: {kind}" for kind in ("Errors", "Dropped", "EventAge")}
        late = {"Shipping/Queue: Age", "Counting/Function: StreamAge", "Mailer/FailureQueue: Failures"}
        expected = website | mailer | late

        def go_on() -> None:
            shop.send_mails(_ENOUGH)
            shop.request(_ENOUGH)

        rang = watch.wait_for(expected, began, meanwhile=go_on)
        composite = watch.wait_for_message(watch.composite, "ALARM")
        failures = watch.wait_for_message(watch.names["Mailer/FailureQueue: Failures"], "ALARM")
    require(rang == expected, f"alarms without a fault: {sorted(rang - expected)}")
    watch.saved_query("Errors", least=_ENOUGH)
    _tell(story, expected, "The mailer failed, shipping was disabled, counting was late, the website failed")
    story.fact("messages", len({composite, failures}))
    story.say(
        f"The topic, which is encrypted, got two messages about {len(expected)} alarms: that users are "
        "hurt, and that failed mails wait for a person."
    )
    _mend(shop, watch, story)


def _throttle_and_discard(stack: DeployedStack, shop: Shop, watch: Watch, story: Story) -> None:
    """A stream whose records fail permanently, and a website that Lambda throttles."""
    began = watch.now()
    expected = {"Counting/Function: Errors", "Counting/FailureQueue: Failures", "Website: Throttles"}
    with watch.faulty() as broken, story.timed("second faults"):
        broken.enter_context(stack.faults.function(shop.counting, error="CountTableMissing"))
        shop.place(_ENOUGH)
        broken.enter_context(shop.website_without_concurrency())
        rang = watch.wait_for(expected, began, meanwhile=lambda: shop.request(_ENOUGH))
    require(
        rang - {"Api/Api: ServerErrors"} == expected, f"alarms without a fault: {sorted(rang - expected)}"
    )
    _tell(story, expected, "Counting failed, and the website had no concurrency left")
    _mend(shop, watch, story)


def _tell(story: Story, rang: set[str], what: str) -> None:
    for name in rang:
        story.fact(name, "went off")
    story.say(f"{what}. These alarms went off, and no others: {', '.join(sorted(rang))}.")


def _mend(shop: Shop, watch: Watch, story: Story) -> None:
    with story.timed("mended"):
        shop.empty_failure_queues()
        shop.wait_until_processed()
        watch.wait_until_quiet()
        watch.wait_for_message(watch.composite, "OK")
    story.say(
        "Mended, and the failure queues emptied: every alarm is OK again, and the topic got that message."
    )


def smoke_website(stack: DeployedStack) -> None:
    """Exercise each permission of the website's role once.

    Raises:
        ScenarioFailed: An order was not placed.
    """
    with closing(Shop(stack)) as shop:
        shop.place(1)


def smoke_consumers(stack: DeployedStack) -> None:
    """Exercise each permission of the roles of the queue's and the stream's readers once.

    Raises:
        ScenarioFailed: An order was not processed.
    """
    with closing(Shop(stack)) as shop:
        shop.place(1)
        shop.wait_until_processed()


_ON_FAILURE = frozenset({"sqs:SendMessage"})  # the drill's mails and records that fail permanently
EVENT = BilledEvent("an order: website, queue, stream and mail", smoke_consumers)

ROLES = (
    Covered("WebsiteFunctionName", smoke_website),
    Covered("ShippingFunctionName", smoke_consumers),
    Covered("CountingFunctionName", smoke_consumers, only_for_failures=_ON_FAILURE),
    Covered("MailerFunctionName", smoke_consumers, only_for_failures=_ON_FAILURE),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the table and in the queues."""
    return [*left.in_tables(stack), *left.in_queues(stack)]
