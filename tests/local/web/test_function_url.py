"""The notes behind function URLs, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import Outcome

pytestmark = pytest.mark.local


def test_everybody_reads_and_signed_callers_write(outcome: Outcome) -> None:
    assert outcome.facts == {
        "Invoke by the editor": "AccessDeniedException",
        "preflight": "GET",
        "largest text": 999_999,
    }


def test_without_permission_or_capacity_the_function_is_not_called(drilled: Outcome) -> None:
    assert drilled.facts == {
        "calls without permission": 0,
        "from 127.0.0.0/8": 200,
        "from 203.0.113.0/24": 403,
        "another account, the account": 201,
        "another account, the organization": 201,
        "malformed responses": 9,
        "throttled": "429",
    }
