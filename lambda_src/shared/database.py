"""The one connection of an execution environment, replaced when it breaks.

Lambda freezes an execution environment between invocations, for a second or for hours. Meanwhile the proxy
may close the connection, fail over or restart. The next invocation notices when it uses the connection, and
connects again. So a unit of work must be safe to repeat, even if it was committed and only the answer to the
commit was lost.
"""

import logging
import random
import time
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol, TypeVar

from shared.iam_token import make_token
from shared.login import Login

T = TypeVar("T")

MOST_ATTEMPTS = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


class Trouble(Enum):
    """What to do about an error of a database."""

    BROKEN = "the connection is unusable, or could not be made: connect again and retry"
    BUSY = "the transaction conflicted with others and was rolled back: retry it"
    FINAL = "a retry would fail again: raise the error"


class Driver(Protocol):
    """The driver of a database, reduced to what `Database` calls."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The exceptions that the driver raises."""

    def connect(self, login: Any, token: str) -> Any:
        """Open a connection over TLS, and only to a server whose certificate is for the host."""

    def diagnose(self, error: Exception) -> Trouble:
        """Say what to do about an error."""

    def is_open(self, connection: Any) -> bool:
        """Whether the driver considers the connection usable. Costs no round trip."""


class Database:
    """A database, used through one connection that is opened when it is first needed.

    Args:
        driver: That of PostgreSQL or MySQL.
        login: The proxy and the user.
        sleep: Waits; tests replace it.
        clock: Returns the time in seconds; tests replace it.
    """

    def __init__(
        self,
        driver: Driver,
        login: Login,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver = driver
        self._login = login
        self._sleep = sleep
        self._clock = clock
        self._connection: Any = None

    def run(self, work: Callable[[Any], T], *, seconds: float) -> T:
        """Do some work with the connection; retry while a retry can help and time is left.

        Args:
            work: Is called with the connection. Must be safe to repeat.
            seconds: How long all attempts may take, including the pauses between them.

        Raises:
            Exception: The driver's last error, if a retry cannot help or there is no time for one.
        """
        deadline = self._clock() + seconds
        attempt = 0
        while True:
            attempt += 1
            reused = self._connection is not None
            try:
                return work(self._connected())
            except self._driver.errors as error:
                trouble = self._driver.diagnose(error)
                if trouble is Trouble.BROKEN:
                    self._close()
                # If the connection broke while Lambda had frozen it, the database may well be there.
                at_once = reused and trouble is Trouble.BROKEN
                pause = 0.0 if at_once and attempt == 1 else _pause(attempt)
                left = deadline - self._clock()
                if trouble is Trouble.FINAL or attempt >= MOST_ATTEMPTS or pause >= left:
                    raise
                logger.warning(
                    "retrying", extra={"attempt": attempt, "trouble": trouble.name, "pause": pause}
                )
                self._sleep(pause)

    def _connected(self) -> Any:
        if self._connection is not None and not self._driver.is_open(self._connection):
            self._close()
        if self._connection is None:
            started = self._clock()
            self._connection = self._driver.connect(self._login, make_token(self._login))
            logger.info("connected", extra={"seconds": round(self._clock() - started, 3)})
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        except self._driver.errors:
            pass  # it was broken before


def _pause(attempt: int) -> float:
    """Return how long to wait after an attempt: exponential backoff with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))  # noqa: S311 - no secret
