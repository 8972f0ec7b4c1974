"""`aws.faults`: how a test asks for faults, and what it may not ask for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Self

from localaws.faults.rules import BATCHES

_PATH = "/_localaws/faults"
_LONGEST = 900  # seconds, as long as the longest function
# https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html, and what SDKs retry:
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """
        AccessDenied AccessDeniedException AuthFailure BandwidthLimitExceeded EC2ThrottledException
        ExpiredToken ExpiredTokenException IncompleteSignature InternalError InternalFailure
        InternalServerError InternalServiceError InvalidClientTokenId InvalidSignatureException
        LimitExceededException MalformedHttpRequestException MissingAuthenticationToken NotAuthorized
        OptInRequired PriorRequestNotComplete ProvisionedThroughputExceededException RequestAbortedException
        RequestEntityTooLargeException RequestExpired RequestLimitExceeded RequestThrottled
        RequestThrottledException RequestTimeout RequestTimeoutException ServiceException ServiceUnavailable
        ServiceUnavailableException SignatureDoesNotMatch SlowDown ThrottledException Throttling
        ThrottlingException TooManyRequestsException TransactionInProgressException
        UnknownOperationException UnrecognizedClientException ValidationError ValidationException
        """,
    )
)


class Fault:
    """A fault that is active until its `with` block ends, `remove` is called, or the account is reset.

    Args:
        call: Sends a request to the server.
        number: The number of its rule.
    """

    def __init__(self, call: Callable[..., Any], number: int) -> None:
        self._call, self._number = call, number

    @property
    def applied(self) -> int:
        """How often it was applied so far, or until it ended."""
        return int(self._call("GET", f"{_PATH}?number={self._number}"))

    def remove(self) -> None:
        """End it. Does nothing the second time."""
        self._call("DELETE", f"{_PATH}?number={self._number}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class Faults:
    """Breaks things on purpose.

    `api`, `function` and `queue` take `times` (how often the fault applies; by default always), `probability`
    (of each time it could apply, 1 by default) and `seed` (of the random numbers: the same seed, the same
    faults).

    Args:
        call: Sends a request to the server.
        client: Returns a boto3 client of a service.
    """

    def __init__(self, call: Callable[..., Any], client: Callable[[str], Any]) -> None:
        self._call, self._client = call, client

    def api(
        self,
        service: str,
        operation: str | None = None,
        *,
        error: str | None = None,
        message: str = "A fault that the test asked for.",
        status: int | None = None,
        entries: int | None = None,
        latency: float = 0,
        role: str | None = None,
        times: int | None = None,
        probability: float = 1,
        seed: int = 0,
    ) -> Fault:
        """Let calls of an AWS API fail, or take longer.

        Args:
            service: The service, by boto3's name.
            operation: Only this operation: `"PutItem"`. By default all of them.
            error: The code of the error: `"ThrottlingException"`. One of the service's model, or one that all
                services have in common; any other needs its `status`.
            message: Its message.
            status: The status code of the response. By default that of the error in the service's model.
            entries: Refuse only this many entries of a batch, the first ones, with `error`, and accept the
                others. For PutEvents, PutRecords and PutRecordBatch.
            latency: Seconds before the call is answered.
            role: Only for calls of this role, by its name: that of one function, for example. By default
                also for those of the test.
            times: How often it applies.
            probability: How probable it is for each call.
            seed: The seed of the random numbers.

        Raises:
            ValueError: An argument is not allowed; the message says what is.
        """
        model = self._model(service)
        if operation is not None and operation not in model.operation_names:
            raise ValueError(_unknown("operation", operation, model.operation_names))
        if not error and not latency:
            raise ValueError("api(): give error= or latency=, or both")
        if entries is not None:
            _check_entries(entries, operation, error, status)
        elif error and status is None and not _is_known(model, error):
            hint = _near(error, [*(shape.name for shape in model.error_shapes), *_COMMON])
            raise ValueError(
                f"error={error!r}: boto3 knows no such error of {service}{hint}; "
                "for one that it does not know, give status= as well"
            )
        return self._add(
            kind="api",
            target=sorted({service, model.signing_name, model.endpoint_prefix}),
            operation=operation,
            role=role,
            error=error,
            message=message,
            status=status or _status(model, error),
            entries=entries,
            latency=latency,
            times=times,
            probability=probability,
            seed=seed,
        )

    def function(
        self,
        name: str,
        *,
        error: str | None = None,
        message: str = "A fault that the test asked for.",
        killed: bool = False,
        latency: float = 0,
        after_running: bool = False,
        times: int | None = None,
        probability: float = 1,
        seed: int = 0,
    ) -> Fault:
        """Let a function fail, die or run slowly.

        Args:
            name: Its name, or a pattern: `"Orders-*"`.
            error: The type of the exception that it raises.
            message: Its message.
            killed: Whether its execution environment is killed, as when it runs out of memory.
            latency: Seconds that it takes longer. It times out as usual.
            after_running: Whether the function first does its work, and then fails: the case for which
                functions must be idempotent.
            times: How often it applies.
            probability: How probable it is for each invocation.
            seed: The seed of the random numbers.

        Raises:
            ValueError: An argument is not allowed; the message says what is.
        """
        if bool(error) + killed > 1:
            raise ValueError("function(): error= cannot be combined with killed=True")
        if not error and not killed and not latency:
            raise ValueError("function(): give error=, killed=True or latency=")
        if after_running and not error and not killed:
            raise ValueError("function(): after_running=True needs error= or killed=True")
        return self._add(
            kind="function",
            target=[_pattern(name)],
            error=error,
            message=message,
            killed=killed,
            latency=latency,
            after_running=after_running,
            times=times,
            probability=probability,
            seed=seed,
        )

    def queue(
        self,
        name: str,
        *,
        duplicates: bool = False,
        disordered: bool = False,
        times: int | None = None,
        probability: float = 1,
        seed: int = 0,
    ) -> Fault:
        """Let a standard queue deliver messages twice, or out of order, as SQS may do.

        Args:
            name: Its name, or a pattern.
            duplicates: Whether a message is delivered a second time.
            disordered: Whether messages come in random order.
            times: How many messages are delivered twice.
            probability: How probable that is for each message.
            seed: The seed of the random numbers.

        Raises:
            ValueError: An argument is not allowed; the message says what is.
        """
        if name.endswith(".fifo"):
            raise ValueError(f"queue({name!r}): a FIFO queue delivers each message once and in order")
        if not duplicates and not disordered:
            raise ValueError("queue(): give duplicates=True or disordered=True, or both")
        return self._add(
            kind="queue",
            target=[_pattern(name)],
            duplicates=duplicates,
            disordered=disordered,
            times=times,
            probability=probability,
            seed=seed,
        )

    def concurrency(self, executions: int) -> Fault:
        """Use concurrent executions of the account, as functions would that run somewhere else.

        Functions with reserved or provisioned concurrency are not affected.

        Args:
            executions: How many of those that are not reserved.

        Raises:
            ValueError: It is not a number from 1.
        """
        if isinstance(executions, bool) or not isinstance(executions, int) or executions < 1:
            raise ValueError(f"executions={executions!r}: give a number from 1")
        rule = {"kind": "concurrency", "target": [], "executions": executions}
        return self._add(**rule, times=None, probability=1)

    def kill(self, name: str, *, lost: bool = False) -> int:
        """Kill the execution environments of a Python function now, in the middle of what they do.

        Those of a function with an extension, a wrapper script or another runtime go on.

        Args:
            name: Its name, or a pattern.
            lost: Whether the environments are lost with their `/tmp`, as when their machine fails. By default
                Lambda initialises them again, and `/tmp` is as it was.

        Returns:
            How many there were.
        """
        return int(self._call("POST", f"{_PATH}/kill", {"pattern": _pattern(name), "lost": lost}))

    def clear(self) -> None:
        """End all faults."""
        self._call("DELETE", _PATH)

    def _add(self, **rule: Any) -> Fault:
        times, probability, latency = rule["times"], rule["probability"], rule.get("latency", 0)
        if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
            raise ValueError(f"times={times!r}: give a number from 1, or None for always")
        if not _is_number(probability) or not 0 < probability <= 1:
            raise ValueError(f"probability={probability!r}: give a number above 0 and up to 1")
        if not _is_number(latency) or not 0 <= latency <= _LONGEST:
            raise ValueError(f"latency={latency!r}: give seconds from 0 to {_LONGEST}")
        return Fault(self._call, self._call("POST", _PATH, rule))

    def _model(self, service: str) -> Any:
        try:
            return self._client(service).meta.service_model
        except Exception as error:
            if type(error).__name__ != "UnknownServiceError":
                raise
            raise ValueError(f"service={service!r}: boto3 has no such service") from None


def _check_entries(entries: int, operation: str | None, error: str | None, status: int | None) -> None:
    if isinstance(entries, bool) or not isinstance(entries, int) or entries < 1:
        raise ValueError(f"entries={entries!r}: give a number from 1, or None for the whole call")
    if operation not in BATCHES:
        raise ValueError(f"entries=: give operation= one of {', '.join(BATCHES)}, not {operation!r}")
    if not error or status:
        raise ValueError("entries=: give error= for the entries, and no status=: the call itself succeeds")


def _pattern(name: str) -> str:
    if not name or ":" in name:
        raise ValueError(f"name={name!r}: give the name or a pattern, not an ARN")
    return name


def _unknown(kind: str, given: str, known: Collection[str]) -> str:
    return f"{kind}={given!r}: the service has no such {kind}{_near(given, known)}"


def _near(given: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(given, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_known(model: Any, error: str) -> bool:
    """Whether the code is of the service. Models of Amazon S3 and of services like EC2 do not list theirs."""
    listed = {code for shape in model.error_shapes for code in (shape.name, shape.error_code)}
    return error in listed or error in _COMMON or not listed or model.service_name == "s3"


def _status(model: Any, error: str | None) -> int:
    """The status code of an error: that of the service's model, or 400."""
    for shape in model.error_shapes:
        if error in (shape.name, shape.error_code):
            return int(shape.metadata.get("error", {}).get("httpStatusCode", 400))
    return 503 if error in ("SlowDown", "ServiceUnavailable") else 500 if error == "InternalError" else 400
