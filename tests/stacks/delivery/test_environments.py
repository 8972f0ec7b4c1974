"""The environments' stack: one context value sets the version of an environment."""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from cdk_lambda_patterns.delivery.environments import NEWEST, Version, Weighted
from stacks.catalogue import find
from stacks.delivery.environments import version_of
from tasks.synthesis import app_context
from tests.templates import read_templates


def template(folder: Path, **context: object) -> dict[str, Any]:
    """The stack's template with this context."""
    settings = {**app_context(), **context}
    app = App(context=settings, outdir=str(folder), builtin_cloud_formation_validation=False)
    find("environments").make_stack(app)
    app.synth()
    return read_templates(folder)["environments"].template


def test_a_promotion_changes_one_value_of_the_template_and_nothing_else(tmp_path: Path) -> None:
    before, after = template(tmp_path / "before"), template(tmp_path / "after", prod=2)
    (prod,) = (
        one
        for one in after["Resources"].values()
        if one["Type"] == "AWS::Lambda::Alias" and one["Properties"]["Name"] == "prod"
    )
    assert prod["Properties"]["FunctionVersion"] == "2"
    prod["Properties"]["FunctionVersion"] = "1"
    assert json.dumps(after) == json.dumps(before)


@pytest.mark.parametrize(
    ("value", "version"),
    [
        ("2", 2),
        ("newest", NEWEST),
        ("1,2:0.1", Weighted(1, additional_version=2, weight=0.1)),
        ("1,newest:.5", Weighted(1, additional_version=NEWEST, weight=0.5)),
    ],
)
def test_a_context_value_sets_the_version(value: str, version: Version | Weighted) -> None:
    assert version_of("prod", value) == version


@pytest.mark.parametrize("value", ["", "two", "1,2", "1:0.1", "1,2:0.1,3:0.1", "-1", "$LATEST", "1.5"])
def test_an_invalid_context_value_is_rejected_with_examples(value: str) -> None:
    with pytest.raises(ValueError, match=r"^-c prod=.*: give the number of a version"):
        version_of("prod", value)
