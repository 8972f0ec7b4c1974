"""A soak of both queues: of thousands of entries none is lost, none booked twice, and poison costs itself."""

from __future__ import annotations

import json
import random
from contextlib import closing
from uuid import uuid4

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack, NotYet, require
from scenarios.messaging import sqs_consumer
from scenarios.support.faults import Faults
from scenarios.support.soak import soak
from tests.local.killing import kill_environments

pytestmark = [pytest.mark.local, pytest.mark.full]

EVENTS = 10_000
PATIENCE = 400


class Entries:
    """Entries for the ledger through one of the two queues, some of them twice, and poison."""

    action = "dynamodb:UpdateItem"

    def __init__(self, ledger: sqs_consumer.Ledger, stack: DeployedStack, kind: str) -> None:
        self.function = stack.output(f"{kind}FunctionName")
        self._ledger, self._kind, self._queue = ledger, kind, ledger.queues[kind]
        self._chance = random.Random(26)
        self._sent: list[sqs_consumer.Entry] = []
        self._poison: list[str] = []

    def send(self, count: int) -> None:
        """Send entries, a tenth of them twice, and a poison message for every hundred."""
        entries = [
            self._ledger.entry(f"{self._kind}-{self._chance.randrange(40)}", self._chance.randrange(1, 100))
            for _ in range(count * 9 // 10)
        ]
        again = self._chance.choices(entries, k=count - len(entries))
        self._ledger.send(self._kind, [*entries, *again])
        self._sent += entries
        poison = json.dumps({"entry_id": "\ud800", "run": self._ledger.run_id, "n": uuid4().hex})
        self._poison.append(poison)
        group = {"MessageGroupId": uuid4().hex, "MessageDeduplicationId": uuid4().hex}
        self._queue.send([{"MessageBody": poison} | (group if self._kind == "Fifo" else {})])

    def poisoned_only(self) -> None:
        """All entries are booked, and the dead letters are the poison."""
        letters = self._queue.dead_letters()
        good = len(set(letters) - set(self._poison))
        require(not good, f"{good} good entries are dead letters")
        self._booked()
        if sorted(letters) != sorted(self._poison):
            raise NotYet(f"{len(letters)} dead letters of {len(self._poison)}")

    def recover(self) -> None:
        """Redrive as long as there are other dead letters than poison."""
        letters = self._queue.dead_letters()
        if not set(letters) <= set(self._poison):
            self._queue.redrive()
            raise NotYet(f"{len(letters)} dead letters")
        self.poisoned_only()

    def _booked(self) -> None:
        expected = sqs_consumer.fold(self._sent)
        seen = self._ledger.balances(expected)
        missing = sum(count - seen.get(account, (0, 0))[1] for account, (_, count) in expected.items())
        require(missing >= 0, f"{-missing} entries were booked twice")
        if seen != expected:
            raise NotYet(f"{missing} entries are missing; {self._queue.left()} messages in the queue")


@pytest.mark.parametrize("kind", ["Standard", "Fifo"])
def test_no_entry_is_lost_and_none_is_booked_twice(
    stack: DeployedStack, faults: Faults, local_aws: LocalAws, kind: str
) -> None:
    with closing(sqs_consumer.Ledger(stack)) as ledger:
        traffic = Entries(ledger, stack, kind)
        soak(traffic, faults, lambda: kill_environments(local_aws, traffic.function), EVENTS, PATIENCE)
