"""The extension that ships logs, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import Outcome

pytestmark = pytest.mark.local


def test_every_line_and_every_report_is_shipped(outcome: Outcome) -> None:
    assert outcome.facts == {"lines": 15, "invocations with a report": 5}


def test_failures_of_the_bucket_cost_no_answer_and_those_of_the_extension_all(drilled: Outcome) -> None:
    assert drilled.facts == {
        "lines retained": 9,
        "answered while the bucket was slow": True,
        "lines of the flood": 3000,
        "some were dropped": True,
        "lines shipped at the end": 3,
        "with a broken extension": "Extension.Crash",
    }
