"""Charges in DynamoDB, each booked once, however often its caller repeats the request."""

import time
from dataclasses import dataclass
from typing import Any

from shared.storable import NotStorable, check_text

_RETAINED_SECONDS = 24 * 60 * 60  # far longer than any caller repeats a request
_MAX_CENTS = 10**12
_MAX_WAIT = 60


class InvalidCharge(ValueError):
    """The request can never be booked; the message says what to change."""


class IdempotencyConflict(Exception):
    """The key belongs to another charge: the caller has used it twice."""


@dataclass(frozen=True)
class Charge:
    """A request to charge an account.

    Args:
        idempotency_key: Chosen by the caller, the same in every attempt of one request.
        account: The account.
        cents: The amount.
        answer_after: For demonstrations: seconds between the booking of a new charge and the answer.
    """

    idempotency_key: str
    account: str
    cents: int
    answer_after: float = 0

    @classmethod
    def parse(cls, event: object) -> "Charge":
        """Read the payload of an invocation.

        Raises:
            InvalidCharge: It is not a charge.
        """
        if not isinstance(event, dict):
            raise InvalidCharge("the payload must be a JSON object with idempotency_key, account and cents")
        try:
            for name in ("idempotency_key", "account"):
                check_text(name, event.get(name), max_characters=256, max_bytes=1_024)
        except NotStorable as reason:
            raise InvalidCharge(str(reason)) from None
        cents, wait = event.get("cents"), event.get("answer_after", 0)
        if isinstance(cents, bool) or not isinstance(cents, int) or not 0 < cents <= _MAX_CENTS:
            raise InvalidCharge(f"cents must be a whole number from 1 to {_MAX_CENTS:,}")
        if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= _MAX_WAIT:
            raise InvalidCharge(f"answer_after must be a number of seconds from 0 to {_MAX_WAIT}")
        return cls(event["idempotency_key"], event["account"], cents, wait)


class Charges:
    """Books charges.

    Args:
        client: A DynamoDB client.
        table: Partition key ``idempotency_key``, time to live in ``expires_at``.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def book(self, charge: Charge, charge_id: str) -> tuple[str, bool]:
        """Book a charge unless its key exists; return the id under which it is booked, and whether it is new.

        Raises:
            IdempotencyConflict: The key exists with another account or amount.
        """
        content = {"account": {"S": charge.account}, "cents": {"N": str(charge.cents)}}
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    "idempotency_key": {"S": charge.idempotency_key},
                    "charge_id": {"S": charge_id},
                    "expires_at": {"N": str(int(time.time()) + _RETAINED_SECONDS)},
                    **content,
                },
                ConditionExpression="attribute_not_exists(idempotency_key)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refused:
            booked = refused.response["Item"]
            if {name: booked[name] for name in content} != content:
                raise IdempotencyConflict(
                    f"idempotency_key {charge.idempotency_key!r} belongs to another charge; use a new key "
                    "for each charge"
                ) from None
            return str(booked["charge_id"]["S"]), False
        return charge_id, True
