"""What was found: a row for each problem, a number for each minute, and one alert for each minute.

Lambda delivers a batch again after an error or a crash, and CloudWatch Logs may deliver an event twice. A
problem and the number of its minute are written in one transaction, if the id of the problem is new. So the
number is right whatever happens, and everything else is made of it.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from shared.items import to_item
from shared.transactions import CONDITION, transact

from .batches import Problem

# Of the 100 items of a transaction, one is the number.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_MOST = 99
_KEPT_SECONDS = 14 * 86_400  # as long as an event can be delivered late


class Findings:
    """The findings of all log groups.

    Args:
        dynamodb: A client of DynamoDB.
        table: Partition key ``log_group``, sort key ``entry``, time to live ``expires_at``.
        sns: A client of SNS.
        topic: The ARN of the topic for alerts.
    """

    def __init__(self, dynamodb: Any, table: str, sns: Any, topic: str) -> None:
        self._dynamodb, self._table, self._sns, self._topic = dynamodb, table, sns, topic

    def count(
        self, group: str, stream: str, problems: Iterable[Problem], seconds: float
    ) -> dict[str, tuple[int, Problem]]:
        """Count each problem once; return for each minute how many there are now, and one of them.

        Args:
            group: The log group.
            stream: The log stream.
            problems: Those of a batch.
            seconds: How long to try while other invocations count.

        Raises:
            TimeoutError: They did for that long.
        """
        minutes: dict[str, list[Problem]] = {}
        for problem in problems:
            minutes.setdefault(problem.minute, []).append(problem)
        for minute, found in minutes.items():
            for some in _parts(found):
                self._count(group, stream, minute, some, seconds)
        return {minute: (self._number(group, minute), found[0]) for minute, found in minutes.items()}

    def _count(
        self, group: str, stream: str, minute: str, problems: Sequence[Problem], seconds: float
    ) -> None:
        expires_at = int(time.time()) + _KEPT_SECONDS
        new = {problem.id: problem for problem in problems}
        while new:
            rows = [
                {
                    "Put": {
                        "TableName": self._table,
                        "Item": to_item(
                            {
                                **_key(group, f"problem#{problem.id}"),
                                "log_stream": stream,
                                "minute": minute,
                                "summary": problem.summary,
                                "lines": len(problem.lines),
                                "expires_at": expires_at,
                            }
                        ),
                        "ConditionExpression": "attribute_not_exists(entry)",
                    }
                }
                for problem in new.values()
            ]
            number = {
                "TableName": self._table,
                "Key": to_item(_key(group, f"minute#{minute}")),
                "UpdateExpression": "ADD problems :new SET expires_at = :expires_at",
                "ExpressionAttributeValues": to_item({":new": len(new), ":expires_at": expires_at}),
            }
            reasons = transact(self._dynamodb, [*rows, {"Update": number}], seconds)
            if not reasons:
                return
            known = [one.get("Code") == CONDITION for one in reasons[:-1]]
            pairs = zip(list(new.values()), known, strict=True)
            new = {problem.id: problem for problem, is_known in pairs if not is_known}

    def _number(self, group: str, minute: str) -> int:
        key = to_item(_key(group, f"minute#{minute}"))
        answer = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return int(answer["Item"]["problems"]["N"])

    def alert(self, group: str, minute: str, number: int, first: Problem) -> bool:
        """Publish an alert, unless the minute has one; return whether it was published.

        The one that announces it publishes it, also when it is delivered again after a crash in between. A
        crash after it is published and before that is noted makes it come twice, but it is never lost.
        """
        announced = self._update(
            group,
            minute,
            "SET alert_by = :me, alert_sent = :no",
            "attribute_not_exists(alert_by) OR (alert_by = :me AND alert_sent = :no)",
            {":me": first.id, ":no": False},
        )
        if announced:
            text = {"log_group": group, "minute": minute, "problems": number, "first": first.summary}
            self._sns.publish(TopicArn=self._topic, Subject="Problems in a log", Message=json.dumps(text))
            self._update(
                group, minute, "SET alert_sent = :yes", "alert_by = :me", {":me": first.id, ":yes": True}
            )
        return announced

    def _update(
        self, group: str, minute: str, change: str, condition: str, values: Mapping[str, Any]
    ) -> bool:
        """Change the item of a minute if the condition holds; return whether it does."""
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=to_item(_key(group, f"minute#{minute}")),
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues=to_item(values),
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _key(group: str, entry: str) -> dict[str, str]:
    return {"log_group": group, "entry": entry}


def _parts(problems: Sequence[Problem]) -> Iterator[Sequence[Problem]]:
    return (problems[start : start + _MOST] for start in range(0, len(problems), _MOST))
