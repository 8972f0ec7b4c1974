"""How fast documented minutes pass here, for whatever waits minutes by design: releases and alarms.

`LOCALAWS_SECONDS_PER_MINUTE` (default 2): a canary of five minutes takes ten seconds, and an alarm over
periods of a minute looks at two seconds each. One setting for all of them, so that an alarm still sees what a
release does while it lasts.
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
        raise ValueError(f"{_VARIABLE}={text!r}: give a number above 0 and at most 60, which is real time")
    return seconds


SECONDS_PER_MINUTE = _read()


def shortened(seconds: float) -> float:
    """How many seconds a documented time takes here.

    Args:
        seconds: The time in AWS.
    """
    return seconds * SECONDS_PER_MINUTE / 60
