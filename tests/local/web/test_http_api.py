"""Both APIs over the notes, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import DeployedStack, Outcome
from scenarios.web import http_api

pytestmark = pytest.mark.local


def test_each_caller_gets_what_it_may_have(outcome: Outcome) -> None:
    assert outcome.facts == {
        "refused tokens": 5,
        "preflight": 204,
        "deleted by": "IAM",
        "partner without write access": 403,
        "invalid bodies": 5,
        "without API key": 403,
        "cached response": "old",
        "access logs": 2,
    }


def test_failures_are_clean_and_admit_no_caller(drilled: Outcome) -> None:
    assert drilled.facts == {
        "notes written without permission": 0,
        "admitted without authorizer": 0,
        "throttled": "429",
        "requests within the quota": 3,
        "ways to break the function": 5,
        "expired token": 401,
    }


def test_leftovers_are_notes_partners_and_users(stack: DeployedStack) -> None:
    with http_api.Callers(stack) as callers:
        callers.put("http", 201, callers.note("left"), callers.user(), "x")
        callers.partner("read")
        kinds = [line.partition(":")[0] for line in http_api.leftovers(stack)]
        assert kinds == ["NotesTableName", "PartnersTableName", "user"]
    assert http_api.leftovers(stack) == []
