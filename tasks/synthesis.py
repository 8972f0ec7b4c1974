"""Synthesising stacks of the catalogue in this process, as the CDK CLI would, without bundling handlers."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aws_cdk import App

from stacks.catalogue import Architecture

ROOT = Path(__file__).parents[1]


def app_context() -> dict[str, Any]:
    """The context of cdk.json, which an ``App`` outside of the CLI ignores, and no bundling of handlers."""
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
    return {**context, "aws:cdk:bundling-stacks": []}


def templates(architectures: Iterable[Architecture], folder: Path) -> dict[str, dict[str, Any]]:
    """Return the template of each architecture's stack by its id, resources marked with their paths.

    Args:
        architectures: Rows of the catalogue.
        folder: An empty folder for the cloud assembly.
    """
    app = App(
        context={**app_context(), "aws:cdk:enable-path-metadata": True},
        outdir=str(folder),
        analytics_reporting=False,
        builtin_cloud_formation_validation=False,
    )
    for architecture in architectures:
        architecture.make_stack(app)
    app.synth()
    return read_templates(folder)


def read_templates(assembly: Path) -> dict[str, dict[str, Any]]:
    """Return the template of each stack of a cloud assembly by the stack's id."""
    return {
        path.name.removesuffix(".template.json"): json.loads(path.read_text())
        for path in assembly.glob("*.template.json")
    }
