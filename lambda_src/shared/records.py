"""The errors of several records → one error of the invocation."""

from collections.abc import Sequence


def raise_all(errors: Sequence[Exception]) -> None:
    """Raise the errors of several records, if there are any: Lambda then tries the whole event again.

    Raises:
        Exception: The error, if there is only one.
        ExceptionGroup: All of them, if there are several.
    """
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(f"{len(errors)} records will be tried again", list(errors))
