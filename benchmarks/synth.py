"""Synthesis: CPU time of this library's constructs against the same resources written by hand in L2.

Each run is a process of its own, the kinds take turns, and what counts is CPU time (user and system, jsii's
node process included), so that a busy machine disturbs little. The marginal time of an instance is the
difference between 50 more instances and one, divided by 50.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_KINDS = ("plain", "ours")
_MORE = 50


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table with the ratios to plain CDK."""
    parser = argparse.ArgumentParser(prog="run.py bench synth", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind and size (default: 5)")
    rounds = parser.parse_args(arguments).rounds
    one: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    more: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    for number in range(rounds + 1):
        for kind in _KINDS:
            first, last = cpu_seconds(kind, 1), cpu_seconds(kind, 1 + _MORE)
            if number:  # the first round warms the caches up
                one[kind].append(first)
                more[kind].append((last - first) / _MORE)
    print("| synthesis, CPU ms (median of", rounds, "interleaved runs) | plain CDK | this library | ratio |")
    print("|---|---|---|---|")
    _print_row("app with one thumbnailer", one)
    _print_row(f"each of {_MORE} more thumbnailers", more)
    return 0


def cpu_seconds(kind: str, count: int) -> float:
    """Return the CPU time of a process that synthesises some thumbnailers of one kind."""
    before = os.times()
    subprocess.run(
        [sys.executable, "-m", "benchmarks.synth_app", kind, str(count)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "constructs")])},
        check=True,
    )
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def _print_row(title: str, seconds: dict[str, list[float]]) -> None:
    plain, ours = (statistics.median(seconds[kind]) * 1000 for kind in _KINDS)
    ratio = statistics.median(
        mine / theirs for mine, theirs in zip(seconds["ours"], seconds["plain"], strict=True)
    )
    print(f"| {title} | {plain:,.1f} | {ours:,.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
