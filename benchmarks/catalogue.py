"""Synthesis of the catalogue: CPU time of each further row, against its resources in plain CDK.

``cdk list`` synthesises every row, so each row that is added makes it slower. Each run is a process of its
own, the kinds take turns, and CPU time counts (user and system, with jsii's node process). Plain CDK is the
least that any app can do: one L1 construct for each resource of the same templates, same services imported.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from stacks.catalogue import ARCHITECTURES

ROOT = Path(__file__).parents[1]
_KINDS = ("plain", "ours")
_SIZES = (0, 1, 5, len(ARCHITECTURES))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table, with the slope between two sizes."""
    parser = argparse.ArgumentParser(prog="run.py bench catalogue", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind and size (default: 5)")
    rounds = parser.parse_args(arguments).rounds
    seconds: dict[tuple[str, int], list[float]] = {(kind, size): [] for kind in _KINDS for size in _SIZES}
    with tempfile.TemporaryDirectory() as templates:
        cpu_seconds(
            "ours", _SIZES[-1], templates
        )  # writes the templates for the plain app, and warms the caches
        for _ in range(rounds):
            for kind, size in seconds:
                with tempfile.TemporaryDirectory() as scratch:
                    folder = templates if kind == "plain" else scratch
                    seconds[kind, size].append(cpu_seconds(kind, size, folder))
    medians = {key: statistics.median(values) * 1000 for key, values in seconds.items()}
    print(
        f"| rows, CPU ms (median of {rounds} runs in turns) | plain CDK | this library | beyond plain CDK |"
    )
    print("|---|---|---|---|")
    for size in _SIZES:
        _print_row(f"{size}", *(medians[kind, size] for kind in _KINDS))
    for first, last in [*pairwise(_SIZES[1:]), (1, _SIZES[-1])]:
        slopes = ((medians[kind, last] - medians[kind, first]) / (last - first) for kind in _KINDS)
        _print_row(f"each row from {first} to {last}", *slopes)
    return 0


def cpu_seconds(kind: str, count: int, folder: str) -> float:
    """Return the CPU time of a process that synthesises the first rows in one of the two ways."""
    before = os.times()
    subprocess.run(
        [sys.executable, "-m", "benchmarks.catalogue_app", kind, str(count), folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "constructs")])},
        check=True,
    )
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def _print_row(title: str, plain: float, ours: float) -> None:
    print(f"| {title} | {plain:,.0f} | {ours:,.0f} | {ours - plain:,.0f} |")


if __name__ == "__main__":
    sys.exit(main())
