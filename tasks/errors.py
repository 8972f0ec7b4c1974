"""Errors in one sentence for the user, with what to do."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable
from pathlib import Path

REGISTRIES = {
    "PyPI": "PIP_INDEX_URL and UV_DEFAULT_INDEX",
    "npm": "npm_config_registry",
}
LAST_LINES = 12

_DISK_FULL = re.compile(
    r"No space left on device|ENOSPC|Disk quota exceeded|EDQUOT|os error 28\b", re.IGNORECASE
)
_NO_ANSWER = re.compile(
    r"ECONNREFUSED|ECONNRESET|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT"
    r"|Failed to establish a new connection|Max retries exceeded|Temporary failure in name resolution"
    r"|Connection refused|Connection to .+ timed out|Read timed out|operation timed out|error sending request"
    r"|dns error|Failed to fetch|network is unreachable|50[234] (?:Server Error|Bad Gateway|Service Un)"
    r"|\(from versions: none\)"  # pip, when an index answered with an error or does not have the package
    r"|CERTIFICATE_VERIFY_FAILED|invalid peer certificate|SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER_CERT",
    re.IGNORECASE,
)


class TaskError(Exception):
    """A failure that is reported by its message, without a traceback."""


class DiskFullError(TaskError):
    """There is no room left, so that trying again cannot help."""

    def __init__(self, folder: Path, details: str = "") -> None:
        super().__init__(
            f"The disk that holds {folder} is full: the environment takes about 1.5 GB. "
            f"Free some space, then run the same command again.{details}"
        )


def disk_is_full(error: BaseException) -> bool:
    """Whether `error` means that there is no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def explain_failure(step: str, log: Path, exit_code: int, *, registry: str, folder: Path) -> TaskError:
    """Find in a step's log why it failed; return that in one sentence, with the end of the log.

    Args:
        step: what was being done, as shown to the user.
        log: where the step's whole output went.
        exit_code: how its command ended.
        registry: the registry that the step asks ("PyPI" or "npm"), or "" for none.
        folder: where the step was writing.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    details = f"\n{end_of_log(log, text)}"
    if _DISK_FULL.search(text):
        return DiskFullError(folder, details)
    if registry and _NO_ANSWER.search(text):
        return TaskError(
            f"{registry} did not deliver what '{step}' asked for: check the network, a proxy (HTTPS_PROXY) "
            f"and its certificate (SSL_CERT_FILE), or name a mirror ({REGISTRIES[registry]}), "
            f"then run the same command again; downloads are not repeated.{details}"
        )
    return TaskError(
        f"'{step}' failed with exit code {exit_code}. The same command can be run again.{details}"
    )


def end_of_log(log: Path, text: str) -> str:
    """The last lines of a log and where the rest of it is."""
    lines = [line for line in text.splitlines() if line.strip()][-LAST_LINES:]
    return "\n".join([*(f"    {line}" for line in lines), f"The whole log: {log}"])


def unknown(kind: str, given: str, allowed: Iterable[str], *, see: str) -> str:
    """The message for a name that does not exist: the name, the nearest one, and where all are listed."""
    names = list(allowed)
    near = difflib.get_close_matches(given, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"There is no {kind} '{given}': {hint}{see} shows all {len(names)}."
