"""Synthesises the whole catalogue with every validation on."""

import json
from pathlib import Path
from typing import Any

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks, ServerlessChecks
from jsii.errors import JSIIError

from stacks.catalogue import ARCHITECTURES
from tests.templates import Assembly, read_templates


def synthesise_catalogue(context: dict[str, Any], folder: Path) -> Assembly:
    """Synthesise every stack of the catalogue and collect what the validations found.

    Args:
        context: The app's context.
        folder: An empty folder for the cloud assembly.
    """
    app = App(context=context, outdir=str(folder), analytics_reporting=False)
    for architecture in ARCHITECTURES:
        architecture.make_stack(app)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
    try:
        app.synth()
    except (JSIIError, RuntimeError):
        # A finding fails the synthesis, and the report says which; anything else is an error of its own.
        if not list(read_findings(folder)):
            raise
    return Assembly(folder, read_templates(folder), list(read_findings(folder)))


def read_findings(folder: Path) -> list[str]:
    """Read the report of the validations: a line for each finding and place."""
    return [
        f"{report['pluginName']}: {violation['ruleName']} {construct.get('constructPath')}: "
        f"{violation['description']}"
        for report in json.loads((folder / "validation-report.json").read_text())["pluginReports"]
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    ]
