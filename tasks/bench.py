"""`run.py bench [NAME]`: run the measurements in `benchmarks/`, each in its own process."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tasks import console
from tasks.errors import unknown

ROOT = Path(__file__).resolve().parent.parent


def benchmarks(folder: Path) -> dict[str, str]:
    """The modules in `folder` that have a `main`, with the first line of their docstrings."""
    found = {}
    for file in sorted(folder.glob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[file.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmark with the arguments after it, or all of them; the worst exit code."""
    known = benchmarks(ROOT / "benchmarks")
    if arguments and arguments[0] == "--list":
        print("\n".join(f"  {name:16} {title}" for name, title in known.items()))
        return 0
    if arguments and arguments[0] not in known:
        print(unknown("benchmark", arguments[0], known, see="`python3 run.py bench --list`"), file=sys.stderr)
        return 2
    if not known:
        print("There is no benchmark: no module in benchmarks/ has a main().", file=sys.stderr)
        return 1
    codes = []
    # A terminal with only ASCII shows `?` for µ.
    variables = {**os.environ, "PYTHONIOENCODING": f"{sys.stdout.encoding}:replace"}
    for name in arguments[:1] or known:
        print(f"\n== {name}: {known[name]}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments[1:]]
        codes.append(subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    console.start(main)
