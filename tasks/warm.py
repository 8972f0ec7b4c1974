"""Does once, during set-up, what the first run of a task would otherwise wait for.

Importing the stacks writes the bytecode of the parts of aws-cdk-lib that they use, unpacks aws-cdk-lib for
jsii, and starts the worker that builds jsii's index of it. Short runs end before that worker does, so the
set-up waits for it.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

from stacks.catalogue import ARCHITECTURES

_INDEX = ".jsii.runtime.v*.json"
_DEADLINE = 30.0  # seconds; without the index everything works, a second slower
_ALSO = ("boto3", "cdk_nag", "ministack.app", "moto", "pytest")


def main() -> int:
    """Import what the tasks import, and wait for jsii's index."""
    import_module("aws_cdk")
    for name in [*(f"stacks.{row.family}.{row.module}" for row in ARCHITECTURES), *_ALSO]:
        try:
            import_module(name)
        except Exception:  # a file that is being worked on must not stop the set-up; the log shows it
            traceback.print_exc()
    return 0 if _wait_for_index() else 1


def _wait_for_index() -> bool:
    cache = Path(os.environ["JSII_RUNTIME_PACKAGE_CACHE_ROOT"])
    deadline = time.monotonic() + _DEADLINE
    while not list(cache.glob(f"aws-cdk-lib/*/*/{_INDEX}")):
        if time.monotonic() > deadline:
            print(f"jsii built no index ({_INDEX}) below {cache} in {_DEADLINE:g} s", file=sys.stderr)
            return False
        time.sleep(0.05)
    return True


if __name__ == "__main__":
    sys.exit(main())
