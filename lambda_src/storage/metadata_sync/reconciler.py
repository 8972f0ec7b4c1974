"""Schedule → compare a part of bucket and table → repaired rows, and counts as metrics.

The schedule invokes this function more often than a run is due: an invocation continues a run that did not
fit into the one before, or begins a run that is due. The payload ``{"start": "now"}`` begins one at once.
"""

import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger
    from aws_lambda_powertools.metrics import Metrics, MetricUnit

    from shared.clients import make_clients
    from shared.environment import read

    from .bucket import SourceBucket
    from .reconcile import COUNTS, Reconciler, Tick
    from .settings import Settings, whole_number
    from .targets import make_table

    settings = Settings.from_environment(os.environ)
    logger = Logger()
    metrics = Metrics()
    [s3] = make_clients("s3")
    source = SourceBucket(s3, settings.bucket, user_metadata=settings.user_metadata, tags=settings.tags)
    reconciler = Reconciler(
        source,
        make_table(settings),
        settings,
        every=read(os.environ, "RECONCILE_EVERY_SECONDS", whole_number),
        logger=logger,
    )

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# Seconds for the piece that has begun when the time is up: up to 1,000 looks, 10 at a time.
_FOR_THE_LAST_PIECE = 60.0
_METRICS = {
    "checked": "ObjectsChecked",
    "missing": "RowsMissing",
    "outdated": "RowsOutdated",
    "superfluous": "RowsSuperfluous",
    "repaired": "RowsRepaired",
    "failed": "RowsFailed",
}


@logger.inject_lambda_context
def handler(event: object, context: "LambdaContext") -> dict[str, Any]:
    """Continue a run, or begin one; return what was found.

    Raises:
        LeaseLost: Another invocation continues the run.
    """
    left = context.get_remaining_time_in_millis() / 1000
    start = isinstance(event, dict) and event.get("start") == "now"
    tick = reconciler.tick(seconds=left - min(_FOR_THE_LAST_PIECE, left / 2), start=start)
    run = tick.run
    answer: dict[str, Any] = {
        "status": tick.status,
        "finished": run.finished_at > 0,
        "counts": {name: tick.counts[name] for name in COUNTS},
        "run": {"started_at": run.started_at, "finished_at": run.finished_at, "counts": run.counts},
    }
    if tick.status == "worked":
        measure(tick)
        logger.info("reconciled", **answer)
    return answer


def measure(tick: Tick) -> None:
    """Write the counts of this invocation as metrics."""
    for count, name in _METRICS.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=tick.counts[count])
    if tick.run.finished_at:
        seconds = tick.run.finished_at - tick.run.started_at
        metrics.add_metric(name="RunDuration", unit=MetricUnit.Seconds, value=seconds)
    metrics.flush_metrics()
