"""Tick of a schedule → a piece of a comparison of bucket and table → repaired rows, and counts as metrics.

The schedule ticks more often than runs are due: a tick goes on with a run that did not fit into one
invocation, and begins one when it is time. The payload ``{"start": "now"}`` begins one at once.
"""

import os
import time
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit
from bucket import SourceBucket
from inventory import Inventory
from reconcile import Comparison, Listing, Reconciler, Tick, answer_of
from settings import Settings, whole_number
from sync import Synchroniser
from targets import make_target, services

from shared.clients import make_clients
from shared.environment import read

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# Left for the piece that was begun when the time was up: up to 1,000 looks, 10 at a time.
_FOR_THE_LAST_PIECE = 60.0
_NAMES = {
    "checked": "ObjectsChecked",
    "missing": "RowsMissing",
    "outdated": "RowsOutdated",
    "superfluous": "RowsSuperfluous",
    "repaired": "RowsRepaired",
    "failed": "RowsFailed",
}

settings = Settings.from_environment(os.environ)
logger = Logger()
metrics = Metrics()
s3, *others = make_clients("s3", *services(settings))
source = SourceBucket(s3, settings.bucket, user_metadata=settings.user_metadata, tags=settings.tags)
target = make_target(settings, *others)


def report(key: str, error: Exception) -> None:
    """Log what could not be repaired."""
    logger.error("cannot be repaired", key=key, error_type=type(error).__name__, reason=str(error))


comparison: Comparison = Listing(source, target.rows, follows=settings.follows, prefix=settings.prefix)
if os.environ.get("INVENTORY_BUCKET"):
    comparison = Inventory(
        s3,
        os.environ["INVENTORY_BUCKET"],
        read(os.environ, "INVENTORY_PREFIX", str),
        target.rows,
        follows=settings.follows,
        prefix=settings.prefix,
    )
reconciler = Reconciler(
    comparison=comparison,
    rows=target.rows,
    states=target.states,
    looker=Synchroniser(source, target.rows),
    every=read(os.environ, "RECONCILE_EVERY_SECONDS", whole_number),
    clock=time.time,
    report=report,
)


@logger.inject_lambda_context
def handler(event: object, context: "LambdaContext") -> Any:
    """Go on with a run, or begin one; return what was found.

    Raises:
        LeaseLost: Another invocation goes on with the run.
        InventoryUnusable: The inventory cannot be read; the run was given up.
    """
    left = context.get_remaining_time_in_millis() / 1000
    start = isinstance(event, dict) and event.get("start") == "now"
    tick = reconciler.tick(seconds=left - min(_FOR_THE_LAST_PIECE, left / 2), start=start)
    answer = answer_of(tick)
    if tick.status == "worked":
        measure(tick)
        logger.info("reconciled", **answer)
    elif tick.reason:
        logger.warning("waiting", reason=tick.reason)
    return answer


def measure(tick: Tick) -> None:
    """Write the counts of this invocation as metrics."""
    for count, name in _NAMES.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=tick.counts[count])
    if tick.run.finished_at:
        seconds = tick.run.finished_at - tick.run.started_at
        metrics.add_metric(name="RunDuration", unit=MetricUnit.Seconds, value=seconds)
    metrics.flush_metrics()
