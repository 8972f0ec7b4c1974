"""Synthesis of the catalogue: CPU time of each row, against its resources in plain CDK.

``cdk list`` synthesises every row, so each row that is added makes it slower. Each run is a process of its
own, the kinds take turns, and CPU time counts (user and system, with jsii's node process). L1 is the least
that any app can do: one L1 construct for each resource of the same templates, same services imported. L2 has
L2 constructs for functions, roles, policies, queues and the like, as an app without this library would.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from stacks.catalogue import ARCHITECTURES

ROOT = Path(__file__).parents[1]
_KINDS = ("l1", "l2", "ours")
_IDS = [row.id for row in ARCHITECTURES]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table: no row, each row by itself, and all rows."""
    parser = argparse.ArgumentParser(prog="run.py bench catalogue", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind and row (default: 5)")
    rounds = parser.parse_args(arguments).rounds
    choices = ["", *_IDS, ",".join(_IDS)]
    seconds: dict[tuple[str, str], list[float]] = {(kind, ids): [] for ids in choices for kind in _KINDS}
    with tempfile.TemporaryDirectory() as templates:
        cpu_seconds(
            "ours", choices[-1], templates
        )  # writes the templates for the plain apps, warms the caches
        for _ in range(rounds):
            for kind, ids in seconds:
                with tempfile.TemporaryDirectory() as scratch:
                    folder = scratch if kind == "ours" else templates
                    seconds[kind, ids].append(cpu_seconds(kind, ids, folder))
    medians = {key: statistics.median(values) * 1000 for key, values in seconds.items()}
    print(f"| CPU ms, median of {rounds} runs in turns | L1 | L2 | this library | beyond L2 |")
    print("|---|---:|---:|---:|---:|")
    for title, ids in zip(("no row", *_IDS, "all rows"), choices, strict=True):
        _print_row(title, *(medians[kind, ids] for kind in _KINDS))
    more = len(_IDS)
    slopes = ((medians[kind, choices[-1]] - medians[kind, ""]) / more for kind in _KINDS)
    _print_row("each row of all", *slopes)
    return 0


def cpu_seconds(kind: str, ids: str, folder: str) -> float:
    """Return the CPU time of a process that synthesises these rows in one of the ways."""
    before = os.times()
    subprocess.run(
        [sys.executable, "-m", "benchmarks.catalogue_app", kind, ids, folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "constructs")])},
        check=True,
    )
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def _print_row(title: str, l1: float, l2: float, ours: float) -> None:
    print(f"| {title} | {l1:,.0f} | {l2:,.0f} | {ours:,.0f} | {ours - l2:,.0f} |")


if __name__ == "__main__":
    sys.exit(main())
