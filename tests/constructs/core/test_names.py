"""Names that two deployments of one template do not share."""

from __future__ import annotations

import pytest
from aws_cdk import App, Stack
from constructs import Construct

from cdk_lambda_patterns.core.names import unique_name


@pytest.mark.parametrize(("parent", "kept"), [("Edge", "Stack-Edge-"), ("Edge" * 40, "Stack-EdgeEdge")])
def test_a_name_has_the_path_the_id_and_a_part_of_the_stack_id(parent: str, kept: str) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack")
    name = stack.resolve(unique_name(Construct(stack, parent), "Store", longest=64))
    prefix, part = name["Fn::Join"][1]
    assert prefix.startswith(kept)
    assert prefix.endswith("-Store-")
    assert len(prefix) + 8 <= 64
    assert "AWS::StackId" in str(part)
