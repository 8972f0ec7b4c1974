"""The program of a managed Python runtime that speaks the Runtime API: `/var/runtime/bootstrap.py`.

It sets the import path and hands over to AWS's client.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Serve invocations until the process is ended."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    task, runtime = os.environ["LAMBDA_TASK_ROOT"], os.environ["LAMBDA_RUNTIME_DIR"]
    # Where pip installs in a container image, before what the runtime has.
    pip = f"/var/lang/lib/{version}/site-packages"
    sys.path[0:1] = [task, f"/opt/python/lib/{version}/site-packages", "/opt/python", pip, runtime]
    sys.executable = "/var/lang/bin/python3"
    from awslambdaric.__main__ import main as serve  # type: ignore[import-untyped]

    serve(["bootstrap", os.environ["_HANDLER"]])


if __name__ == "__main__":
    main()
