"""Sends entries for a ledger through a standard and a FIFO queue, and compares the ledger with their sum.

The balances prove the order: a withdrawal that was sent before its deposit must fail and become a dead
letter, although the deposit directly follows it. If the deposit overtook it, it would be booked. (The deposit
may become a dead letter as well: SQS counts a receive for every message of a batch, also for those that the
handler left for later because an earlier one failed.)
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from scenarios.framework import (
    BilledEvent,
    Covered,
    DeployedStack,
    NotYet,
    Outcome,
    Story,
    require,
    wait_until,
)
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults
from scenarios.support.mixing import interleaved
from scenarios.support.queues import SourceQueue
from scenarios.support.tables import query

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

KINDS = ("Standard", "Fifo")
ACCOUNTS, ENTRIES = 8, 8
Balances = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Entry:
    """An entry of the ledger, as its sender makes it."""

    entry_id: str
    account: str
    cents: int

    @property
    def body(self) -> str:
        """The body of the message."""
        return json.dumps({"entry_id": self.entry_id, "account": self.account, "cents": self.cents})


def fold(entries: Iterable[Entry]) -> dict[str, tuple[int, int]]:
    """The expected balance and number of entries of each account, each entry counted once."""
    balances: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for entry in {entry.entry_id: entry for entry in entries}.values():
        balances[entry.account] += entry.cents
        counts[entry.account] += 1
    return {account: (balances[account], counts[account]) for account in counts}


class Ledger:
    """The deployed stack, and the accounts of this run in it."""

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid4().hex[:8]
        self.queues = {
            kind: SourceQueue(
                stack,
                stack.output(f"{kind}QueueUrl"),
                stack.output(f"{kind}DeadLetterQueueUrl"),
                mine=lambda body: self.run_id in body,
            )
            for kind in KINDS
        }
        self._dynamodb = stack.client("dynamodb")
        self._table = stack.output("TableName")
        self._patience = stack.patience
        self._accounts: set[str] = set()

    def entry(self, account: str, cents: int) -> Entry:
        """Make an entry for an account of this run."""
        name = f"{self.run_id}-{account}"
        self._accounts.add(name)
        return Entry(uuid4().hex, name, cents)

    def send(self, kind: str, entries: Iterable[Entry]) -> None:
        """Send entries in this order, each with a new deduplication id: SQS does not drop duplicates."""
        self.queues[kind].send(
            [
                {"MessageBody": entry.body}
                | (
                    {"MessageGroupId": entry.account, "MessageDeduplicationId": uuid4().hex}
                    if kind == "Fifo"
                    else {}
                )
                for entry in entries
            ]
        )

    def balances(self, accounts: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return balance and number of entries of those accounts that exist."""
        found = {}
        for account in accounts:
            items = {item["item"]["S"]: item for item in self._items(account)}
            balance = items.pop("balance", None)
            if balance is None:
                continue
            found[account] = (int(balance["cents"]["N"]), int(balance["entries"]["N"]))
            booked = (sum(int(item["cents"]["N"]) for item in items.values()), len(items))
            require(
                found[account] == booked,
                f"account {account} has the balance {found[account]}, but its entries make {booked}",
            )
        return found

    def wait_for(self, expected: Balances, patience: float | None = None) -> None:
        """Wait until the ledger has these balances.

        Raises:
            ScenarioFailed: It does not have them in time, or a balance is not the sum of its entries.
        """

        def check() -> None:
            seen = self.balances(expected)
            wrong = {
                account: seen.get(account) for account in expected if seen.get(account) != expected[account]
            }
            if wrong:
                raise NotYet(f"{len(wrong)} accounts differ: {wrong}")

        wait_until(check, what="the ledger", timeout=patience or self._patience)

    def redrive_until(self, kind: str, expected: Balances) -> int:
        """Redrive dead letters until the ledger has these balances, and return the number of redrives.

        Raises:
            ScenarioFailed: It does not have them in time, or dead letters are left.
        """
        queue, redrives = self.queues[kind], 0

        def check() -> None:
            nonlocal redrives
            seen = self.balances(expected)
            if seen == expected:
                return
            if queue.dead_letters():
                queue.redrive()
                redrives += 1
            raise NotYet(f"the ledger is {seen}")

        wait_until(check, what="the ledger after redrives", timeout=queue.patience)
        require(not queue.dead_letters(), f"dead letters are left after the redrive: {queue.dead_letters()}")
        return redrives

    def close(self) -> None:
        """Delete the accounts and dead letters of this run."""
        for account in self._accounts:
            for item in self._items(account):
                key = {name: item[name] for name in ("account", "item")}
                self._dynamodb.delete_item(TableName=self._table, Key=key)
        for queue in self.queues.values():
            queue.close()

    def _items(self, account: str) -> list[dict[str, Any]]:
        return query(
            self._dynamodb,
            TableName=self._table,
            KeyConditionExpression="account = :account",
            ExpressionAttributeValues={":account": {"S": account}},
        )


def run(stack: DeployedStack) -> Outcome:
    """Send entries in order and shuffled, some twice, and some that cannot be booked; the ledger adds up.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("A ledger fed by SQS", stack.tell)
    chance = random.Random(20)
    with closing(Ledger(stack)) as ledger:
        fifo = interleaved((_deposits_and_withdrawals(ledger, n, chance) for n in range(ACCOUNTS)), chance)
        standard = [
            ledger.entry(f"standard-{chance.randrange(ACCOUNTS)}", chance.randrange(1, 10_000))
            for _ in range(ACCOUNTS * ENTRIES)
        ]
        duplicates = {"Fifo": chance.sample(fifo, len(fifo) // 10), "Standard": chance.sample(standard, 6)}
        withdrawal, deposit = ledger.entry("early", -500), ledger.entry("early", 500)
        poison = f"this is not an entry, {ledger.run_id}"
        expected = fold([*fifo, *standard])
        with story.timed("booked"):
            ledger.send("Fifo", fifo + duplicates["Fifo"])
            story.say(f"Sent {len(fifo)} deposits and withdrawals to the FIFO queue, some of them twice.")
            shuffled = standard + duplicates["Standard"]
            chance.shuffle(shuffled)
            ledger.send("Standard", shuffled)
            story.say(f"Sent {len(standard)} deposits to the standard queue, shuffled, some of them twice.")
            ledger.queues["Standard"].send([{"MessageBody": poison}])
            ledger.send("Fifo", [withdrawal, deposit])
            ledger.wait_for(expected)
        story.fact("accounts", len(expected))
        story.fact("entries", sum(count for _, count in expected.values()))
        story.fact("duplicates", sum(map(len, duplicates.values())))
        story.say(f"All {len(expected)} balances are the sum of their entries, each counted once.")

        letters = ledger.queues["Standard"].wait_for_dead_letters(1)
        require(letters == [poison], f"other messages than the poison became dead letters: {letters}")
        story.say("The message that is not an entry is a dead letter; the others of its batch were booked.")
        _check_order(ledger, story, withdrawal, deposit)
        for queue in ledger.queues.values():
            queue.wait_until_empty()
    return story.outcome()


def _deposits_and_withdrawals(ledger: Ledger, number: int, chance: random.Random) -> list[Entry]:
    """Entries in which each withdrawal needs the deposit directly before it."""
    amounts = [chance.randrange(1, 10_000) for _ in range(ENTRIES // 2)]
    pairs = [cents for amount in amounts for cents in (amount, -amount)]
    return [ledger.entry(f"fifo-{number}", cents) for cents in [*pairs, 1]]


def _check_order(ledger: Ledger, story: Story, withdrawal: Entry, deposit: Entry) -> None:
    """The deposit did not overtake the withdrawal, and a redrive books both."""
    queue = ledger.queues["Fifo"]
    letters = queue.wait_for_dead_letters(1)
    require(letters[0] == withdrawal.body, f"the first dead letter of the FIFO queue: {letters[0]}")
    require(set(letters) <= {withdrawal.body, deposit.body}, f"dead letters of other groups: {letters}")
    booked = [deposit] if len(letters) == 1 else []
    ledger.wait_for(fold(booked), patience=queue.patience)
    story.say("A withdrawal sent before its deposit is a dead letter: the deposit did not overtake it.")
    opening = Entry(uuid4().hex, deposit.account, 500)
    ledger.send("Fifo", [opening])
    ledger.wait_for(fold([*booked, opening]))
    redrives = ledger.redrive_until("Fifo", fold([opening, withdrawal, deposit]))
    require(redrives == 1, f"a redrive in order books everything at once, not after {redrives}")
    story.say("After another deposit, SQS's redrive books the rest, each entry once.")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Remove a permission while entries arrive; a redrive books what failed once it is restored.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("A redrive repairs the ledger", stack.tell)
    with closing(Ledger(stack)) as ledger:
        for kind, queue in ledger.queues.items():
            deposits = [ledger.entry(f"{kind}-{number}", 700) for number in range(3)]
            withdrawals = [ledger.entry(f"{kind}-{number}", -200) for number in range(3)]
            expected = fold([*deposits, *withdrawals])
            role = faults.role_of(stack.output(f"{kind}FunctionName"))
            with faults.without_permission(role, "dynamodb:UpdateItem"):
                ledger.send(kind, deposits)
                queue.wait_for_dead_letters(3)
            require(not ledger.balances(expected), "an entry was booked without the permission")
            story.say(
                f"{kind}: without dynamodb:UpdateItem the deposits become dead letters, nothing is booked."
            )
            ledger.send(kind, withdrawals)
            queue.wait_for_dead_letters(6)
            story.say(
                f"{kind}: the withdrawals sent after them are not covered, and become dead letters too."
            )
            redrives = ledger.redrive_until(kind, expected)
            require(kind == "Standard" or redrives == 1, f"a FIFO queue needed {redrives} redrives")
            story.fact(f"{kind} redrives", redrives)
            story.say(f"{kind}: restored the permission and redrove: all 6 entries are booked, each once.")
    return story.outcome()


def smoke(stack: DeployedStack, kind: str) -> None:
    """Exercise each permission of a function's role once.

    Raises:
        ScenarioFailed: The entry was not booked.
    """
    with closing(Ledger(stack)) as ledger:
        entries = [ledger.entry("smoke", 1)]
        ledger.send(kind, entries)
        ledger.wait_for(fold(entries))


EVENT = BilledEvent("an entry in the standard queue, in a batch of one", partial(smoke, kind="Standard"))

ROLES = tuple(Covered(role_of=f"{kind}FunctionName", scenario=partial(smoke, kind=kind)) for kind in KINDS)


def leftovers(stack: DeployedStack) -> Sequence[str]:
    """Return what is in the table and in the queues."""
    return [*left.in_tables(stack), *left.in_queues(stack)]
