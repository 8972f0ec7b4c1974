"""Programs that a scenario starts, and that end with it."""

from __future__ import annotations

from collections.abc import Sequence

# Kills the program with all that it has started when standard input ends: at the latest with this process,
# however that ends.
_WITH_THIS_PROCESS = '("$@" </dev/null; kill -KILL 0) & read -r _; kill -KILL 0'


def with_this_process(command: Sequence[str]) -> list[str]:
    """Return a command that runs a program until standard input, which has to be a pipe, is closed.

    It ends all processes of its session: give it one of its own (``start_new_session=True``).

    Args:
        command: The program and its arguments.
    """
    return ["/bin/sh", "-c", _WITH_THIS_PROCESS, "sh", *command]
