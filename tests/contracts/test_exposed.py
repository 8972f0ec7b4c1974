"""What `Monitoring` finds in every row: its functions, queues and the like, and none of the CDK itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tests.contracts.roles import roles_of_custom_resources
from tests.templates import Assembly, Resources

#: By row and kind, the paths of the constructs. A new row is added by hand, so that a person looks at it.
EXPECTED: dict[str, Any] = json.loads(Path(__file__).with_name("exposed.json").read_text())


def own_functions(stack: Resources) -> int:
    """Return how many functions a template has that are not behind a custom resource."""
    of_the_cdk = roles_of_custom_resources(stack.template)
    functions = stack.all("AWS::Lambda::Function").values()
    return sum(one["Role"]["Fn::GetAtt"][0] not in of_the_cdk for one in functions)


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)
def test_what_a_row_exposes_is_what_a_person_expects(catalogue: Assembly, row: Architecture) -> None:
    assert catalogue.exposed[row.id] == EXPECTED[row.id]


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)
def test_every_function_of_a_row_is_found_and_none_of_the_cdk(catalogue: Assembly, row: Architecture) -> None:
    stack = catalogue.stacks[row.id]
    found = len(catalogue.exposed[row.id]["function"])
    # An alias is monitored with its function.
    assert found - len(stack.all("AWS::Lambda::Alias")) == own_functions(stack)
