"""Sends entries for a ledger through a standard and a FIFO queue, and compares it with their sum.

Order is proven by what it does: a withdrawal that stands before its deposit must fail, and end as a dead
letter, although the deposit is right behind it. Had the deposit overtaken it, it would have been booked.
(The deposit may go to the dead letters with it: SQS counts a message as received in each batch that it was
in, also when the handler left it for later because one before it failed.)
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet, Outcome, Story, require, wait_until
from scenarios.support.faults import Faults
from scenarios.support.queues import SourceQueue

# What the embedded AWS accepts and does not do, and why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

KINDS = ("Standard", "Fifo")
ACCOUNTS, ENTRIES = 8, 8


@dataclass(frozen=True)
class Entry:
    """An entry of the ledger, as a sender makes it."""

    entry_id: str
    account: str
    cents: int

    @property
    def body(self) -> str:
        """The message's body."""
        return json.dumps({"entry_id": self.entry_id, "account": self.account, "cents": self.cents})


def fold(entries: Sequence[Entry]) -> dict[str, tuple[int, int]]:
    """The model: balance and number of entries of each account, each entry counted once."""
    once = {entry.entry_id: entry for entry in entries}
    balances: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for entry in once.values():
        balances[entry.account] += entry.cents
        counts[entry.account] += 1
    return {account: (balances[account], counts[account]) for account in counts}


class Ledger:
    """The deployed stack, and what is of this run in it."""

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

    def account(self, name: str) -> str:
        """The name of an account of this run; it is deleted at the end."""
        account = f"{self.run_id}-{name}"
        self._accounts.add(account)
        return account

    def entry(self, account: str, cents: int) -> Entry:
        """A new entry."""
        return Entry(uuid4().hex, account, cents)

    def send(self, kind: str, entries: Sequence[Entry]) -> None:
        """Send entries in this order. SQS will not recognise one that is sent twice: its id is new."""
        self.queues[kind].send([self._message(kind, entry.body, entry.account) for entry in entries])

    def send_body(self, kind: str, body: str, group: str) -> None:
        """Send anything."""
        self.queues[kind].send([self._message(kind, body, group)])

    def _message(self, kind: str, body: str, group: str) -> dict[str, str]:
        if kind == "Standard":
            return {"MessageBody": body}
        return {"MessageBody": body, "MessageGroupId": group, "MessageDeduplicationId": uuid4().hex}

    def balances(self, accounts: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Balance and number of entries of those accounts that there are."""
        found = {}
        for account in accounts:
            items = self._items(account)
            balance = next((item for item in items if item["item"]["S"] == "balance"), None)
            booked = sum(int(item["cents"]["N"]) for item in items if item["item"]["S"] != "balance")
            if balance is not None:
                cents, entries = int(balance["cents"]["N"]), int(balance["entries"]["N"])
                require(
                    (cents, entries) == (booked, len(items) - 1),
                    f"account {account}: {cents} cents of {entries} entries, but its {len(items) - 1} "
                    f"entries make {booked}",
                )
                found[account] = (cents, entries)
        return found

    def wait_for(self, expected: Mapping[str, tuple[int, int]], patience: float | None = None) -> None:
        """Wait until the ledger is what the model says.

        Raises:
            ScenarioFailed: It is not in time, or an account does not add up.
        """
        missing = dict(expected)

        def check() -> None:
            for account, value in self.balances(list(missing)).items():
                if value == expected[account]:
                    del missing[account]
            if missing:
                raise NotYet(f"{len(missing)} accounts differ, expected {missing}")

        wait_until(check, what="the ledger", timeout=patience or self._patience)

    def wait_until_idle(self) -> None:
        """Wait until nothing is on its way any more: a duplicate would be new once its entry is deleted.

        Raises:
            ScenarioFailed: It takes too long.
        """

        def check() -> None:
            for kind, queue in self.queues.items():
                if left := queue.left():
                    raise NotYet(f"{kind}: {left} messages")

        wait_until(check, what="empty queues", timeout=self._patience)

    def close(self) -> None:
        """Delete the accounts and dead letters of this run."""
        for account in self._accounts:
            for item in self._items(account):
                key = {name: item[name] for name in ("account", "item")}
                self._dynamodb.delete_item(TableName=self._table, Key=key)
        for queue in self.queues.values():
            queue.close()

    def _items(self, account: str) -> list[dict[str, Any]]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="account = :account",
            ExpressionAttributeValues={":account": {"S": account}},
        )
        return [item for page in pages for item in page["Items"]]


def run(stack: DeployedStack) -> Outcome:
    """Entries in order and shuffled, some twice, some that never can be booked; a ledger that adds up.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("A ledger by SQS", stack.tell)
    chance = random.Random(20)
    with closing(Ledger(stack)) as ledger:
        with story.timed("booked"):
            expected = {**_send_fifo(ledger, chance, story), **_send_standard(ledger, chance, story)}
            poison = f"this is no entry, {ledger.run_id}"
            ledger.send_body("Standard", poison, "")
            early = ledger.account("early")
            withdrawal, deposit = ledger.entry(early, -500), ledger.entry(early, 500)
            ledger.send("Fifo", [withdrawal, deposit])
            ledger.wait_for(expected)
        story.say(f"All {len(expected)} accounts hold what the sum of their entries says, each counted once.")
        require(
            ledger.queues["Standard"].wait_for_dead_letters(1) == [poison],
            "other messages than the poison ended as dead letters",
        )
        story.say("The message that is no entry is a dead letter; its batch was booked.")
        _check_order(ledger, story, withdrawal, deposit)
        ledger.wait_until_idle()
    return story.outcome()


def _check_order(ledger: Ledger, story: Story, withdrawal: Entry, deposit: Entry) -> None:
    fifo = ledger.queues["Fifo"]
    letters = fifo.wait_for_dead_letters(1)
    require(letters[0] == withdrawal.body, f"the first dead letter of the FIFO queue: {letters[0]}")
    require(
        set(letters) <= {withdrawal.body, deposit.body},
        f"dead letters of other groups than that of the poison: {letters}",
    )
    account = deposit.account
    if len(letters) == 1:
        ledger.wait_for({account: (500, 1)}, patience=fifo.patience)
    story.say(
        "A withdrawal sent before its deposit failed and is a dead letter: the deposit waited behind it in "
        f"its group and overtook nothing ({'it was booked then' if len(letters) == 1 else 'it followed it'})."
    )
    opening = ledger.entry(account, 500)
    ledger.send("Fifo", [opening])
    ledger.wait_for(fold([deposit, opening] if len(letters) == 1 else [opening]))
    fifo.redrive()
    ledger.wait_for(fold([opening, withdrawal, deposit]))
    require(not fifo.dead_letters(), "dead letters are left after the redrive")
    story.say("Paid in what was missing; SQS's redrive then booked everything, each entry once.")


def smoke(stack: DeployedStack, kind: str) -> None:
    """The shortest way past everything that a function may do: for checks that repeat it often.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    with closing(Ledger(stack)) as ledger:
        account = ledger.account("smoke")
        entries = [ledger.entry(account, 1)]
        ledger.send(kind, entries)
        ledger.wait_for(fold(entries))


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """What failed for want of a permission or of money is redriven once the cause is mended.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("A redrive heals", stack.tell)
    with closing(Ledger(stack)) as ledger:
        for kind in KINDS:
            queue = ledger.queues[kind]
            accounts = [ledger.account(f"{kind}-{number}") for number in range(3)]
            sent = [ledger.entry(account, cents) for cents in (700, -200) for account in accounts]
            with faults.without_permission(_role(stack, kind), "dynamodb:UpdateItem"):
                ledger.send(kind, sent[: len(accounts)])
                queue.wait_for_dead_letters(len(accounts))
            require(not ledger.balances(accounts), "booked without the permission to book")
            story.say(
                f"{kind}: without dynamodb:UpdateItem the deposits end as dead letters, nothing booked."
            )
            ledger.send(kind, sent[len(accounts) :])
            queue.wait_for_dead_letters(len(sent))
            story.say(f"{kind}: the withdrawals behind them cannot be covered, and follow them.")
            _redrive_until_booked(ledger, kind, fold(sent))
            story.say(f"{kind}: restored the permission; redrives booked all {len(sent)} entries, each once.")
    return story.outcome()


def _redrive_until_booked(ledger: Ledger, kind: str, expected: Mapping[str, tuple[int, int]]) -> None:
    """Redrive once, or more often where no order keeps withdrawals from coming first again."""
    queue = ledger.queues[kind]
    queue.redrive()
    if kind == "Standard":
        deposits = dict.fromkeys(expected, (700, 1))

        def deposited() -> None:
            seen = ledger.balances(list(deposits))
            if any(seen.get(account, (0, 0))[1] < 1 for account in deposits):
                raise NotYet(f"deposits are missing: {seen}")

        wait_until(deposited, what="the deposits", timeout=queue.patience)

    def check() -> None:
        if ledger.balances(list(expected)) == expected:
            return
        if kind == "Standard" and queue.dead_letters():
            queue.redrive()
        raise NotYet(f"the ledger is {ledger.balances(list(expected))}")

    wait_until(check, what="the ledger after the redrive", timeout=queue.patience)
    require(not queue.dead_letters(), f"dead letters are left after the redrive: {queue.dead_letters()}")


def _send_fifo(ledger: Ledger, chance: random.Random, story: Story) -> dict[str, tuple[int, int]]:
    """For each account a list in which every withdrawal needs the deposit right before it."""
    lists = {}
    for number in range(ACCOUNTS):
        account = ledger.account(f"fifo-{number}")
        amounts = [chance.randrange(1, 10_000) for _ in range(ENTRIES // 2)]
        lists[account] = [
            ledger.entry(account, cents) for amount in amounts for cents in (amount, -amount)
        ] + [ledger.entry(account, 1)]
    sent = list(_interleaved(lists, chance))
    twice = chance.sample(sent, len(sent) // 10)
    ledger.send("Fifo", sent + twice)
    story.say(
        f"Sent {len(sent)} entries of {len(lists)} accounts to the FIFO queue, mixed, in order for each "
        f"account, each withdrawal of all that the account holds; and {len(twice)} of them a second time."
    )
    return fold(sent)


def _send_standard(ledger: Ledger, chance: random.Random, story: Story) -> dict[str, tuple[int, int]]:
    accounts = [ledger.account(f"standard-{number}") for number in range(ACCOUNTS)]
    sent = [
        ledger.entry(chance.choice(accounts), chance.randrange(1, 10_000)) for _ in range(ACCOUNTS * ENTRIES)
    ]
    twice = chance.sample(sent, len(sent) // 10)
    shuffled = sent + twice
    chance.shuffle(shuffled)
    ledger.send("Standard", shuffled)
    story.say(f"Sent {len(sent)} deposits to the standard queue, {len(twice)} of them twice, shuffled.")
    return fold(sent)


def _interleaved(lists: Mapping[str, list[Entry]], chance: random.Random) -> Iterator[Entry]:
    """Mix lists at random and keep the order within each."""
    left = {name: iter(entries) for name, entries in lists.items()}
    order = [name for name, entries in lists.items() for _ in entries]
    chance.shuffle(order)
    for name in order:
        yield next(left[name])


def _role(stack: DeployedStack, kind: str) -> str:
    function = stack.client("lambda").get_function_configuration(
        FunctionName=stack.output(f"{kind}FunctionName")
    )
    role: str = function["Role"].rpartition("/")[2]
    return role
