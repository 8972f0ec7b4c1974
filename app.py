"""The CDK app: reads the catalogue and makes the stacks. ``-c only=ID`` makes that architecture alone."""

import gc
import sys
from pathlib import Path

# The package is found without being installed, so that `cdk deploy` needs nothing but requirements.txt.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "constructs")]

# Importing and building allocate much and free little: collecting garbage meanwhile only costs time.
gc.disable()

from aws_cdk import App  # noqa: E402

from stacks.catalogue import ARCHITECTURES, find  # noqa: E402

app = App()
only = app.node.try_get_context("only")
for architecture in [find(only)] if only else ARCHITECTURES:
    architecture.make_stack(app)
app.synth()

# The interpreter walks everything once more when it ends, unless it is told to leave this alone.
gc.freeze()
