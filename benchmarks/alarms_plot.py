"""Draws the metrics of a failure drill of `monitoring`: the picture on its page.

python3 run.py demo monitoring
python3 benchmarks/alarms_plot.py out/monitoring/metrics.json docs/observability/monitoring.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt

# Title, unit, and the metrics with what they are called: part of the resource's name, metric, statistic.
PANELS = (
    (
        "Website: invocations in a second",
        (("Website32962D0B", "Invocations", "all"), ("Website32962D0B", "Errors", "failed")),
    ),
    ("Website: duration, p99, in seconds", (("Website32962D0B", "Duration p99", "p99"),)),
    ("Shipping queue: age of the oldest message, in seconds", (("ShippingQueue", "AgeOfOldest", "age"),)),
    ("Mailer: failed mails in the failure queue", (("MailerFailureQueue", "Visible", "waiting"),)),
)


def points_of(metrics: dict[str, Any], resource: str, metric: str) -> list[tuple[float, float]]:
    """Return the first metric with these parts in its name."""
    return next((found for name, found in metrics.items() if resource in name and metric in name), [])


def main(source: str, target: str) -> None:
    """Draw the file that the drill saved."""
    saved = json.loads(Path(source).read_text())
    began = saved["began"]
    figure, axes = plt.subplots(len(PANELS), 1, sharex=True, figsize=(9, 8), layout="constrained")
    for axis, (title, lines) in zip(axes, PANELS, strict=True):
        for resource, metric, label in lines:
            found = points_of(saved["metrics"], resource, metric)
            scale = 0.001 if metric.startswith("Duration") else 1
            seconds, values = [at - began for at, _ in found], [value * scale for _, value in found]
            sampled = resource.endswith(
                "Queue"
            )  # a queue has a value each minute, a function only when it runs
            axis.plot(seconds, values, marker="o", ms=4, linestyle="-" if sampled else "", label=label)
        for start, end in saved["faults"]:
            axis.axvspan(start - began, end - began, color="0.85")
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_ylim(bottom=0)
        axis.legend(loc="upper right", fontsize=8)
    axes[-1].set_xlabel("seconds of the drill")
    figure.savefig(target, dpi=90)


if __name__ == "__main__":
    main(*sys.argv[1:])
