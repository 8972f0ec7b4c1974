"""The length of documented minutes here, for deployments and alarms, which wait for minutes in AWS.

`LOCALAWS_SECONDS_PER_MINUTE` (default 2): a canary of five minutes takes ten seconds, and a period of a
minute of an alarm is two seconds. All use the same setting, so that an alarm covers the right part of a
deployment.
"""

from __future__ import annotations

from localaws.settings import numbers

_ALLOWED = "0.001 to 60 seconds, which is real time"
(SECONDS_PER_MINUTE,) = numbers("LOCALAWS_SECONDS_PER_MINUTE", "2", _ALLOWED, low=0.001, high=60)


def shortened(seconds: float) -> float:
    """The duration here of a documented time, in seconds.

    Args:
        seconds: The time in AWS.
    """
    return seconds * SECONDS_PER_MINUTE / 60
