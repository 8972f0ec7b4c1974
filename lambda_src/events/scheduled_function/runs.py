"""The runs of a schedule in DynamoDB: a lease for the one that works, and a row for each that has ended."""

import time
from typing import Any, Literal
from uuid import uuid4

from shared.transactions import CONDITION, transact

# Scheduler retries for 24 hours at most, and Lambda for 6. After that no duplicate comes, except by hand.
_REMEMBERED = 14 * 24 * 60 * 60
_PATIENCE = 1.0

Outcome = Literal["started", "duplicate"]


class StillRunning(Exception):
    """Another run works, or has crashed and left its lease; Lambda tries again later."""


class LeaseLost(Exception):
    """The lease expired before the run ended."""


class Runs:
    """The runs of one function; only one of them works at a time.

    Args:
        client: A DynamoDB client.
        table: Partition key ``id``; time to live attribute ``expires_at``.
        job: What the runs are of.
    """

    def __init__(self, client: Any, table: str, job: str) -> None:
        self._client = client
        self._table = table
        self._job = job
        self._token = ""

    def start(self, scheduled_time: str, *, seconds: float) -> Outcome:
        """Take the lease for a scheduled time that has not run yet.

        Args:
            scheduled_time: The run.
            seconds: How long the lease is held at most.

        Raises:
            StillRunning: The lease is held.
        """
        self._token, now = uuid4().hex, time.time()
        lease = {
            **self._key("lease"),
            "token": {"S": self._token},
            "scheduled_time": {"S": scheduled_time},
            "held_until": {"N": f"{now + seconds:.3f}"},
            "expires_at": {"N": str(int(now + _REMEMBERED))},
        }
        reasons = transact(
            self._client,
            [
                {
                    "Put": {
                        "TableName": self._table,
                        "Item": lease,
                        # The time to live is late by days, so the lease has a time of its own.
                        "ConditionExpression": "attribute_not_exists(id) OR held_until < :now",
                        "ExpressionAttributeValues": {":now": {"N": f"{now:.3f}"}},
                        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                    }
                },
                {
                    "ConditionCheck": {
                        "TableName": self._table,
                        "Key": self._key(scheduled_time),
                        "ConditionExpression": "attribute_not_exists(id)",
                    }
                },
            ],
            _PATIENCE,
        )
        if not reasons:
            return "started"
        if reasons[1].get("Code") == CONDITION:
            return "duplicate"
        held = reasons[0]["Item"]
        at, until = held["scheduled_time"]["S"], held["held_until"]["N"]
        raise StillRunning(f"the run of {at} holds the lease until {until}")

    def finish(self, scheduled_time: str) -> None:
        """Note that the run is done, and give the lease back, both or neither.

        Raises:
            LeaseLost: It is held by another run. So nothing is noted, and the work may be done twice.
        """
        done = {"Put": {"TableName": self._table, "Item": self._row(scheduled_time, "done")}}
        if transact(self._client, [done, {"Delete": self._own_lease()}], _PATIENCE):
            raise LeaseLost(f"{scheduled_time}: the run took longer than its lease")

    def release(self) -> None:
        """Give the lease back after an error, if it is still held."""
        try:
            self._client.delete_item(**self._own_lease())
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def _own_lease(self) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": self._key("lease"),
            "ConditionExpression": "#token = :token",
            "ExpressionAttributeNames": {"#token": "token"},
            "ExpressionAttributeValues": {":token": {"S": self._token}},
        }

    def _row(self, scheduled_time: str, state: str) -> dict[str, Any]:
        expires_at = str(int(time.time() + _REMEMBERED))
        return {**self._key(scheduled_time), "outcome": {"S": state}, "expires_at": {"N": expires_at}}

    def _key(self, what: str) -> dict[str, Any]:
        return {"id": {"S": f"{self._job}#{what}"}}
