"""Queues of scenarios."""

from typing import Any

import boto3
import pytest

from scenarios.support.queues import make_visible


@pytest.mark.parametrize("name", ["MessageNotInflight", "ReceiptHandleIsInvalid"])
def test_messages_that_were_held_for_too_long_are_visible_already(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sqs: Any = boto3.client("sqs", region_name="eu-west-1")
    released: list[str] = []

    def change(ReceiptHandle: str, **_: Any) -> None:  # noqa: N803
        released.append(ReceiptHandle)
        raise getattr(sqs.exceptions, name)({"Error": {"Code": name}}, "ChangeMessageVisibility")

    monkeypatch.setattr(sqs, "change_message_visibility", change)
    make_visible(sqs, "queue", [{"ReceiptHandle": "a"}, {"ReceiptHandle": "b"}])
    assert released == ["a", "b"]
