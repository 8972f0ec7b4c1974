"""Each page has a command for the AWS CLI, some have blocks with curl; `test_deployed` runs them."""

from __future__ import annotations

import json
import re

import pytest

from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tests.contracts import curl
from tests.contracts.aws_cli import ONLY_VERSION_2, lines_of
from tests.templates import Assembly


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)
def test_the_page_has_a_command_that_invokes_the_function(catalogue: Assembly, row: Architecture) -> None:
    lines = lines_of(row)
    assert lines
    for line in lines:
        assert line.words[2:4] == ONLY_VERSION_2
        assert line.option("--function-name") in catalogue.stacks[row.id].template["Outputs"]
        json.loads(line.option("--payload"))
        assert line.words[-1] == "out.json"


def test_the_pages_of_the_fronts_call_them_with_curl(catalogue: Assembly) -> None:
    blocks = {row.id: curl.blocks_of(row) for row in ARCHITECTURES}
    assert {row for row, found in blocks.items() if found} >= {"alb-function", "function-url", "http-api"}
    for row, found in blocks.items():
        known = {curl.variable(name) for name in catalogue.stacks[row].template.get("Outputs", {})}
        for block in found:
            named = set(re.findall(r"\$\{?([A-Z_]+)", block)) - set(re.findall(r"^([A-Z_]+)=", block, re.M))
            assert {name for name in named if not name.startswith("AWS_")} <= known, block
