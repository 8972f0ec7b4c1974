"""The one connection of an instance of the function, replaced when it breaks.

Lambda freezes an instance between two invocations, for a second or for hours. Meanwhile the proxy may have
closed the connection, failed over, or restarted; that is noticed when the connection is used, and costs the
invocation a moment and not its success. Trying again has to be safe: also where the answer to a commit was
lost, and nobody knows whether it was made.
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

    BROKEN = "the connection is of no use any more, or could not be made: make another and try again"
    BUSY = "the transaction lost against others and was rolled back: try it again"
    NO_TABLES = "the tables are not there: make them and try again"
    FINAL = "it would fail again: tell the caller"


class Driver(Protocol):
    """A database's driver, behind the few calls that a lasting connection needs."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the driver raises."""

    def connect(self, login: Any, token: str) -> Any:
        """Open a connection, over TLS, to the host that its certificate names and to no other."""

    def diagnose(self, error: Exception) -> Trouble:
        """Tell what to do about an error."""

    def is_open(self, connection: Any) -> bool:
        """Whether the driver still thinks that the connection is good. Costs no round trip."""

    def make_tables(self, connection: Any) -> None:
        """Make the tables, unless they are there."""


class Database:
    """The database, through one connection that is opened when it is first needed.

    Args:
        driver: PostgreSQL's or MySQL's.
        login: Where it is, and who connects.
        sleep: Waits; replaced by tests.
        clock: Tells the time in seconds; replaced by tests.
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
        """Do some work with the connection; try again while that can help and time is left.

        Args:
            work: Gets the connection. Doing it twice must be as good as once.
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
                return work(self._connected())
            except self._driver.errors as error:
                trouble = self._driver.diagnose(error)
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

    def _connected(self) -> Any:
        if self._connection is not None and not self._driver.is_open(self._connection):
            self._close()
        if self._connection is None:
            started = self._clock()
            self._connection = self._driver.connect(self._login, make_token(self._login))
            logger.info("connected", extra={"seconds": round(self._clock() - started, 3)})
        return self._connection

    def _mend(self, trouble: Trouble) -> None:
        if trouble is Trouble.BROKEN:
            self._close()
        elif trouble is Trouble.NO_TABLES:
            self._driver.make_tables(self._connected())

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close()
        except self._driver.errors:
            pass  # it is broken; that is why it is closed


def _pause(attempt: int) -> float:
    """How long to wait after an attempt: longer each time, and by chance, so that instances spread.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))  # noqa: S311 - no secret
