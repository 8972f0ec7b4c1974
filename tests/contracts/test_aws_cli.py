"""Each page has a command for the AWS CLI; `test_deployed` runs it."""

from __future__ import annotations

import json

import pytest

from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
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
