"""The to-do list of two users, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import DeployedStack, Outcome
from scenarios.solutions import todo_api

pytestmark = pytest.mark.local


def test_no_user_gets_what_is_of_another_one(outcome: Outcome) -> None:
    assert outcome.facts == {
        "notes of another user": 404,
        "refused tokens": 4,
        "cached response": "old",
        "denied calls": 7,
    }


def test_what_was_stolen_is_of_use_for_a_limited_time(drilled: Outcome) -> None:
    assert drilled.facts == {
        "refused after the sign-out": 2,
        "revoked credentials": "AccessDenied",
        "expired token": 401,
    }


def test_leftovers_are_notes_users_identities_and_files(stack: DeployedStack) -> None:
    with todo_api.Users(stack) as users:
        user = users.sign_in("left")
        users.expect(201, user, "PUT", "/notes/left", "x")
        files = users.files(user)
        files.client.put_object(Bucket=stack.output("BucketName"), Key=f"{files.identity}/left", Body=b"x")
        kinds = [line.partition(":")[0] for line in todo_api.leftovers(stack)]
        assert kinds == ["NotesTableName", "user", "identity", "file"]
    assert todo_api.leftovers(stack) == []
