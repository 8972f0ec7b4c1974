"""What `Monitoring` finds in every row: its functions, queues and the like, and none of the CDK itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tests.templates import Assembly, Resources

#: By row and kind, the paths of the constructs: what a person has looked at. Not every row need be in it.
EXPECTED: dict[str, Any] = json.loads(Path(__file__).with_name("exposed.json").read_text())

# What the ids of functions begin with that the CDK makes for its custom resources.
_PROVIDERS = ("AWS", "BucketNotificationsHandler", "Custom", "LogRetention")


def own_functions(stack: Resources) -> int:
    """Return how many functions a template has that the CDK did not make for itself."""
    return sum(not name.startswith(_PROVIDERS) for name in stack.all("AWS::Lambda::Function"))


@pytest.mark.parametrize("row", EXPECTED)
def test_what_a_row_exposes_is_what_a_person_expects(catalogue: Assembly, row: str) -> None:
    assert catalogue.exposed[row] == EXPECTED[row]


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)
def test_every_function_of_a_row_is_found_and_none_of_the_cdk(catalogue: Assembly, row: Architecture) -> None:
    stack = catalogue.stacks[row.id]
    found = len(catalogue.exposed[row.id]["function"])
    # An alias is monitored with its function.
    assert found - len(stack.all("AWS::Lambda::Alias")) == own_functions(stack)
