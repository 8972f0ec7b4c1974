"""Synthesises several apps in one process, into one cloud assembly: `python synthesise_together.py APP.py …`.

A process for each app costs seconds, for Node.js and for importing the CDK. The CDK takes the folder of the
assembly from `CDK_OUTDIR`, and each app overwrites the manifest there: the last step joins them.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the apps one after the other."""
    manifest = Path(os.environ["CDK_OUTDIR"], "manifest.json")
    artifacts: dict[str, Any] = {}
    joined: dict[str, Any] = {}
    for app in sys.argv[1:]:
        runpy.run_path(app, run_name="__main__")
        joined = json.loads(manifest.read_text("utf-8"))
        artifacts |= joined["artifacts"]
    manifest.write_text(json.dumps({**joined, "artifacts": artifacts}), "utf-8")


if __name__ == "__main__":
    main()
