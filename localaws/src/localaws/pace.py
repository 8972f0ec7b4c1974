"""The length of documented minutes here, for deployments, alarms and rules, which wait for minutes in AWS.

`LOCALAWS_SECONDS_PER_MINUTE` (default 2): a canary of five minutes takes ten seconds, and a period of a
minute of an alarm is two seconds. All use the same setting, so that an alarm covers the right part of a
deployment.
"""

from __future__ import annotations

from localaws.settings import numbers

_ALLOWED = "0.001 to 60 seconds, which is real time"
_LOW, _HIGH = 0.001, 60
(SECONDS_PER_MINUTE,) = numbers("LOCALAWS_SECONDS_PER_MINUTE", "2", _ALLOWED, low=_LOW, high=_HIGH)

_now = [SECONDS_PER_MINUTE]


def check(seconds_per_minute: float) -> None:
    """Refuse a pace that is not allowed.

    Raises:
        ValueError: It is not.
    """
    number = isinstance(seconds_per_minute, (int, float)) and not isinstance(seconds_per_minute, bool)
    if not number or not _LOW <= seconds_per_minute <= _HIGH:
        raise ValueError(f"pace={seconds_per_minute!r}: give the seconds of a documented minute, {_ALLOWED}")


def change(seconds_per_minute: float | None) -> float:
    """Set how many seconds a minute takes from now on, and return how many it took.

    Args:
        seconds_per_minute: The seconds; None for those of the setting.
    """
    before, _now[0] = _now[0], SECONDS_PER_MINUTE if seconds_per_minute is None else seconds_per_minute
    return before


def shortened(seconds: float) -> float:
    """The duration here of a documented time, in seconds.

    Args:
        seconds: The time in AWS.
    """
    return seconds * _now[0] / 60
