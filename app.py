"""The CDK app: reads the catalogue and makes the stacks.

Commands of the CLI that deploy nothing (``cdk list``, ``cdk destroy``) bundle no handlers, and their
templates are not validated. ``cdk deploy --exclusively ID`` makes only that stack, as ``-c only=ID`` does;
without either, the CLI bundles the handlers of every stack.
"""

import gc
import json
import os
import sys
from pathlib import Path

# The package is found without being installed, so that `cdk deploy` needs nothing but requirements.txt.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "constructs")]

# Importing and building allocate much and free little: collecting garbage meanwhile only costs time.
gc.disable()

from aws_cdk import App  # noqa: E402

from stacks.catalogue import ARCHITECTURES, UnknownArchitectureError, find  # noqa: E402

# The stacks to bundle handlers for: ["**"], ids after --exclusively, or [] when nothing is deployed.
bundled = json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}")).get("aws:cdk:bundling-stacks")
app = App(builtin_cloud_formation_validation=False if bundled == [] else None)
only = app.node.try_get_context("only")
try:
    chosen = [find(only)] if only else [row for row in ARCHITECTURES if row.id in (bundled or ())]
    for architecture in chosen or ARCHITECTURES:
        architecture.make_stack(app)
except (UnknownArchitectureError, ValueError) as error:  # a value of the context that is not allowed
    sys.exit(f"app.py: {error}")
app.synth()

# The interpreter walks all objects once more when it ends, unless they are frozen.
gc.freeze()
