"""Synthesises the whole catalogue with every validation on."""

import json
from pathlib import Path
from typing import Any

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks, ServerlessChecks
from jsii.errors import JSIIError

from cdk_lambda_patterns.observability.monitoring.exposed import Exposed, exposed_by
from stacks.catalogue import ARCHITECTURES
from tests.templates import Assembly, read_templates


def synthesise_catalogue(context: dict[str, Any], folder: Path) -> Assembly:
    """Synthesise every stack of the catalogue and collect what the validations found.

    Args:
        context: The app's context.
        folder: An empty folder for the cloud assembly.
    """
    app = App(context=context, outdir=str(folder), analytics_reporting=False)
    stacks = {architecture.id: architecture.make_stack(app) for architecture in ARCHITECTURES}
    exposed = {row: _labels(exposed_by(stack, [stack])) for row, stack in stacks.items()}
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
    try:
        app.synth()
    except (JSIIError, RuntimeError):
        # A finding fails the synthesis, and the report says which; anything else is an error of its own.
        if not list(read_findings(folder)):
            raise
    return Assembly(folder, read_templates(folder), list(read_findings(folder)), exposed)


def _labels(exposed: Exposed) -> dict[str, list[str]]:
    """What a stack's constructs expose, by kind: what `Monitoring` would find."""
    kinds = {kind: [*found] for kind, found in exposed.kinds.items() if found}
    return kinds | ({"stream_reader": sorted(exposed.stream_readers)} if exposed.stream_readers else {})


def read_findings(folder: Path) -> list[str]:
    """Read the report of the validations: a line for each finding and place."""
    return [
        f"{report['pluginName']}: {violation['ruleName']} {construct.get('constructPath')}: "
        f"{violation['description']}"
        for report in json.loads((folder / "validation-report.json").read_text())["pluginReports"]
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    ]
