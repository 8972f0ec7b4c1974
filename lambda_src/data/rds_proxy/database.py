"""The one connection of an instance of the function, replaced when it breaks.

Lambda freezes an instance between two invocations, for a second or for hours. Meanwhile the proxy may have
closed the connection, failed over, or restarted; that is noticed when the connection is used, and costs the
invocation a moment and not its success. Trying again is safe because a booking is made once for its request
id: also where the answer to a commit was lost, and nobody knows whether it was made.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import Any

from bookings import Booking, Receipt
from engine import Engine, Trouble
from iam_token import make_token
from settings import Settings

MOST_ATTEMPTS = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


class Database:
    """The database, through one connection that is opened when it is first needed.

    Args:
        engine: PostgreSQL or MySQL.
        settings: Where it is.
        sleep: Waits; replaced by tests.
        clock: Tells the time in seconds; replaced by tests.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._sleep = sleep
        self._clock = clock
        self._connection: Any = None

    def book(self, booking: Booking, *, seconds: float) -> Receipt:
        """Make a booking; try again while that can help and time is left.

        Args:
            booking: What to book.
            seconds: How long this may take, the pauses between attempts included.

        Raises:
            Exception: The last error of the driver, when trying again is of no use or out of time.
        """
        deadline = self._clock() + seconds
        attempt = 0
        while True:
            attempt += 1
            reused = self._connection is not None
            try:
                return self._engine.book(self._connected(), booking)
            except self._engine.errors as error:
                trouble = self._engine.diagnose(error)
                self._mend(trouble)
                # A connection that broke while the instance was frozen says nothing about the database.
                at_once = trouble is Trouble.NO_TABLES or (reused and trouble is Trouble.BROKEN)
                pause = 0.0 if at_once and attempt == 1 else _pause(attempt)
                left = deadline - self._clock()
                if trouble is Trouble.FINAL or attempt >= MOST_ATTEMPTS or pause >= left:
                    raise
                logger.warning(
                    "trying again", extra={"attempt": attempt, "trouble": trouble.name, "pause": pause}
                )
                self._sleep(pause)

    def _connected(self) -> Any:  # noqa: ANN401 - the driver's own type
        if self._connection is not None and not self._engine.is_open(self._connection):
            self._close()
        if self._connection is None:
            started = self._clock()
            self._connection = self._engine.connect(self._settings, make_token(self._settings))
            logger.info("connected", extra={"seconds": round(self._clock() - started, 3)})
        return self._connection

    def _mend(self, trouble: Trouble) -> None:
        if trouble is Trouble.BROKEN:
            self._close()
        elif trouble is Trouble.NO_TABLES:
            self._engine.make_tables(self._connected())

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        except self._engine.errors:
            pass  # it is broken; that is why it is closed


def _pause(attempt: int) -> float:
    """How long to wait after an attempt: longer each time, and by chance, so that instances spread.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))  # noqa: S311 - no secret
