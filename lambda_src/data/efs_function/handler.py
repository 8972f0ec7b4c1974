"""Readings → a journal on EFS, which many environments write; each loads a model from there when it starts.

Loading the model belongs outside of the handler: a large one takes time, and the environment keeps it.
"""

import os
from pathlib import Path
from typing import Any

from .journal import MAX_BATCH, Journal, Reading, check_name
from .model import Model

_MAX_PAUSE = 60
_FOLDER = Path(os.environ["MOUNT_PATH"])

journal = Journal(_FOLDER / "journal")
model = Model.load(_FOLDER / "model.json")


class InvalidEvent(ValueError):
    """The event is none that this function knows; the message says what to change."""


def handler(event: object, context: Any) -> dict[str, Any]:
    """Append readings to the journal, or publish a model for the environments that start from now on.

    The answer has the totals of the sensors in the event only, because all of them may be more than the 6 MB
    that Lambda returns. An empty event asks how many bytes of the journal are not in the summary yet.
    """
    if event == {}:
        return {"uncounted": journal.uncounted(), "model": model.version}
    if isinstance(event, dict) and event.keys() == {"model"}:
        published = Model.parse(event["model"])
        with journal.locked():
            published.publish(_FOLDER / "model.json")
        return {"published": published.version}
    if not isinstance(event, dict) or not isinstance(event.get("readings"), list):
        raise InvalidEvent('give {"readings": [...]} or {"model": {...}}')
    sensors = event.get("sensors", [])
    if not isinstance(sensors, list) or max(len(sensors), len(event["readings"])) > MAX_BATCH:
        raise InvalidEvent(f"give lists of at most {MAX_BATCH} readings and sensors, in several events")
    asked = {check_name("sensors", sensor) for sensor in sensors}
    readings, bad = [], []
    for number, given in enumerate(event["readings"]):
        try:
            readings.append(Reading.parse(given, model.factors))
        except ValueError as reason:
            bad.append({"number": number, "reason": str(reason)})
    pause = event.get("pause", 0)
    if isinstance(pause, bool) or not isinstance(pause, int | float) or not 0 <= pause <= _MAX_PAUSE:
        raise InvalidEvent(f"pause must be a number of seconds from 0 to {_MAX_PAUSE}")
    summary, new = journal.append(readings, pause=pause)
    return {
        "new": new,
        "duplicates": len(readings) - new,
        "bad": bad,
        "totals": {
            sensor: summary.totals[sensor]
            for sensor in sorted(asked | {one.sensor for one in readings})
            if sensor in summary.totals
        },
        "model": model.version,
        "environment": context.log_stream_name,
    }
