"""The length of documented minutes here, for deployments and alarms, which wait for minutes in AWS.

`LOCALAWS_SECONDS_PER_MINUTE` (default 2): a canary of five minutes takes ten seconds, and a period of a
minute of an alarm is two seconds. All use the same setting, so that an alarm covers the right part of a
deployment.
"""

from __future__ import annotations

import os

_VARIABLE = "LOCALAWS_SECONDS_PER_MINUTE"


def _read() -> float:
    text = os.environ.get(_VARIABLE, "2")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 60:
        raise ValueError(
            f"{_VARIABLE}={text!r}: it must be greater than 0 and at most 60, which is real time"
        )
    return seconds


SECONDS_PER_MINUTE = _read()


def shortened(seconds: float) -> float:
    """The duration here of a documented time, in seconds.

    Args:
        seconds: The time in AWS.
    """
    return seconds * SECONDS_PER_MINUTE / 60
