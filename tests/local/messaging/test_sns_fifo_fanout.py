"""The fan-out, deployed with the real CDK CLI and driven with thousands of events, IAM enforced."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack, NotYet, wait_until
from scenarios.messaging import sns_fifo_fanout
from scenarios.messaging.sns_fifo_fanout import Event, Orders
from scenarios.support.faults import Faults
from scenarios.support.mixing import interleaved
from scenarios.support.soak import KILLS_IN_A_ROW
from tasks import redrive
from tests.local.killing import kill_environments

pytestmark = pytest.mark.local

TOO_LARGE = json.dumps({"x": "x" * 300 * 1024}).encode()
POISON = (TOO_LARGE, b"\xff", b'{"type": "\\ud800"}', b"[]", b'{"x": NaN}', b"[" * 50_000)


#: How many events the soak sends.
EVENTS = int(os.environ.get("SOAK_EVENTS", "10000"))


def data_of(event: Event) -> bytes:
    return json.dumps(asdict(event)).encode()


@pytest.mark.parametrize(
    "stream",
    [
        (TOO_LARGE, "A", "A", "B", "A", "B"),
        (TOO_LARGE, *"ABABA", b"\xff", *"BABAB"),
    ],
    ids=["the first record is too large", "and one in the middle is not UTF-8"],
)
def test_poison_costs_no_neighbour(stack: DeployedStack, stream: tuple[str | bytes, ...]) -> None:
    with closing(Orders(stack)) as orders:
        records = []
        for one in stream:
            if isinstance(one, bytes):
                records.append((f"{orders.run_id}-A", one))
                continue
            order_id = f"{orders.run_id}-{one}"
            version = 1 + sum(event.order_id == order_id for event in orders.sent)
            orders.sent.append(Event(f"{order_id}-{version}", order_id, version, "OrderPlaced"))
            records.append((order_id, data_of(orders.sent[-1])))
        orders.put_data(records)
        orders.wait()
        orders.wait_until_idle()
        poison = [one for one in stream if isinstance(one, bytes)]
        failures = orders.failures.wait_for(len(poison))
        assert len(failures) == len(poison)
        assert all("payload" in failure for failure in failures)

        # A redrive publishes them again. SNS still refuses them, so they return.
        orders.failures.release()
        report = redrive.run(stack, limit=100, dry_run=False)
        assert (report.resent, report.left) == (len(poison), {})
        assert all(reason.startswith("NotPublishable: ") for reason in report.reasons)
        assert len(orders.failures.wait_for(len(poison))) == len(poison)
    assert sns_fifo_fanout.leftovers(stack) == []


def test_the_read_model_is_the_fold_of_the_store_whatever_the_store_refuses(stack: DeployedStack) -> None:
    with closing(Orders(stack)) as orders:
        first, second = orders.order("a", random.Random(1))[:1], []
        order_id = first[0].order_id
        second.append(Event("paid", order_id, 2, "OrderPaid"))
        orders.put([*first, *second])
        orders.wait()
        refused = [Event("again", order_id, 2, "OrderRefunded"), Event("gap", order_id, 9, "OrderShipped")]
        orders.put_data([(event.order_id, data_of(event)) for event in refused])
        letters = orders.queues["Append"].wait_for_dead_letters(2)
        assert sorted(json.loads(letter)["event_id"] for letter in letters) == ["again", "gap"]
        [letter] = orders.queues["ProjectStatus"].wait_for_dead_letters(1)
        assert json.loads(letter)["event_id"] == "gap"
        for queue in orders.queues.values():
            queue.wait_until_empty()
        orders.check()
        orders.rebuild()
    assert sns_fifo_fanout.leftovers(stack) == []


@pytest.mark.full
def test_thousands_of_events_with_random_failures_become_the_fold(
    stack: DeployedStack, faults: Faults
) -> None:
    with closing(sns_fifo_fanout.Orders(stack)) as orders:
        chance = random.Random(24)
        count = sns_fifo_fanout.send_during_failures(orders, faults, 400, chance)
        assert count > 1400
        sns_fifo_fanout.send_mixed(orders, 200, chance)
        orders.redrive_until_it_holds()
    assert sns_fifo_fanout.leftovers(stack) == []


@pytest.mark.full
def test_a_soak_of_ten_thousand_events_loses_and_repeats_nothing(
    stack: DeployedStack, faults: Faults, local_aws: LocalAws
) -> None:
    """Duplicates, poison, killed environments, rebuilds, and outages of the topic and of the table."""
    chance = random.Random(25)
    bridge, append = (faults.role_of(stack.output(f"{name}FunctionName")) for name in ("Bridge", "Append"))
    with closing(Orders(stack)) as orders:
        refused = unknown = part = killed = 0
        while len(orders.sent) < EVENTS:
            part += 1
            events = interleaved([orders.order(f"{part}-{n}", chance) for n in range(EVENTS // 44)], chance)
            orders.sent += events
            records = [(event.order_id, data_of(event)) for event in events]
            records += chance.sample(records, len(records) // 10)
            for number, data in enumerate(POISON):
                records.insert(chance.randrange(len(records)), (f"{orders.run_id}-bad{number}", data))
            refused += len(POISON)
            if part <= 5:  # published, and refused by both subscribers
                records.insert(
                    0,
                    (f"{orders.run_id}-eaten", json.dumps({"type": "eaten", "run": orders.run_id}).encode()),
                )
                unknown += 1
            outage = {3: (bridge, "sns:Publish"), 6: (append, "dynamodb:PutItem")}.get(part)
            with faults.without_permission(*outage) if outage else nothing():
                orders.put_data(records)
                if outage:
                    time.sleep(3)  # some events use up their attempts; how many does not matter
            rebuild_in_background(stack)
            for _ in range(KILLS_IN_A_ROW):
                time.sleep(0.5)  # any number of environments may be at work then
                killed += kill_environments(local_aws)

        assert killed

        def check() -> None:
            orders.failures.poll()
            for queue in orders.queues.values():
                if len(queue.dead_letters()) > unknown:
                    queue.redrive()
            orders.check()
            for name, queue in orders.queues.items():
                letters = sorted(queue.dead_letters())
                if queue.left() or len(letters) != unknown:
                    raise NotYet(f"{name}: {queue.left()} messages, {len(letters)} dead letters")
                assert all("eaten" in letter for letter in letters)

        wait_until(check, what="all events in the store, and the poison among the dead letters", timeout=900)
        found = {one["KinesisBatchInfo"]["startSequenceNumber"] for one in orders.failures.wait_for(refused)}
        assert len(found) == refused
        orders.rebuild()
    assert sns_fifo_fanout.leftovers(stack) == []


def rebuild_in_background(stack: DeployedStack) -> None:
    """Let the function of the read model rebuild it while events arrive."""
    function, request = stack.output("ProjectStatusFunctionName"), json.dumps({"rebuild": True})
    stack.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=request)


@contextmanager
def nothing() -> Iterator[None]:
    yield
