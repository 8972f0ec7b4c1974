"""The charges, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

from contextlib import closing

import pytest

from scenarios.framework import DeployedStack, Outcome
from scenarios.support.faults import Faults
from scenarios.web.direct_invoke.charges import Charges

pytestmark = pytest.mark.local


def test_each_charge_is_booked_once(outcome: Outcome) -> None:
    assert outcome.facts["charges"] == 12
    assert outcome.facts["the function times out after it has booked"] == 2
    assert outcome.facts["InvalidCharge"] == outcome.facts["IdempotencyConflict"] == "FunctionFailed"


def test_another_account_needs_both_policies(drilled: Outcome) -> None:
    admitted = {name for name, seen in drilled.facts.items() if seen == "booked"}
    assert admitted == {
        "a statement for the account, with identity policy",
        "a statement for the organization, with identity policy",
    }
    refused = [seen for name, seen in drilled.facts.items() if name.endswith("identity policy")]
    assert refused.count("AccessDeniedException") == 6


def test_a_denied_write_is_a_function_error_that_is_not_retried(stack: DeployedStack, faults: Faults) -> None:
    role = faults.role_of(stack.output("FunctionName"))
    with closing(Charges(stack)) as charges, faults.without_permission(role, "dynamodb:PutItem"):
        answer = charges.call(charges.key(), charges.request())
    assert answer["error"] == "FunctionFailed"
    assert "AccessDeniedException" in answer["message"]
