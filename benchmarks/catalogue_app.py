"""One app for ``benchmarks.catalogue``: the first rows of the catalogue, or their resources in plain CDK.

``python -m benchmarks.catalogue_app ours COUNT FOLDER`` writes the assembly to ``FOLDER``; with ``plain`` it
reads the templates of such an assembly there, and makes the same resources with the CDK's L1 constructs.
"""

import gc
import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path

gc.disable()

from aws_cdk import App, CfnResource, Stack  # noqa: E402

from stacks.catalogue import ARCHITECTURES  # noqa: E402
from tasks.synthesis import app_context  # noqa: E402


def main() -> None:
    """Synthesise as the command line says."""
    kind, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if kind == "ours":
        synthesise_rows(count, folder)
    else:
        synthesise_resources(count, folder)
    gc.freeze()


def synthesise_rows(count: int, folder: Path) -> None:
    """Do what ``app.py`` does for ``cdk list``, with the first rows only."""
    app = App(context=app_context(), outdir=str(folder), builtin_cloud_formation_validation=False)
    for architecture in ARCHITECTURES[:count]:
        architecture.make_stack(app)
    app.synth()


def synthesise_resources(count: int, templates: Path) -> None:
    """Make each resource of the templates, importing the module of its service."""
    with tempfile.TemporaryDirectory() as folder:
        app = App(context=app_context(), outdir=folder, builtin_cloud_formation_validation=False)
        for architecture in ARCHITECTURES[:count]:
            template = json.loads((templates / f"{architecture.id}.template.json").read_text("utf-8"))
            stack = Stack(app, architecture.id)
            for logical_id, resource in template["Resources"].items():
                owner, service, *_ = resource["Type"].split("::")
                if owner == "AWS" and service != "CDK":  # AWS::CDK::Metadata
                    import_module(f"aws_cdk.aws_{service.lower()}")
                properties = resource.get("Properties", {})
                CfnResource(stack, logical_id, type=resource["Type"], properties=properties)
        app.synth()


if __name__ == "__main__":
    main()
