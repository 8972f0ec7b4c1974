"""Starts a task so that it never ends in a traceback because of where its output goes."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn

# The exit code of a program whose reader has gone, as shells count it: 128 + SIGPIPE.
_NO_READER = 141
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR)
# Characters of ours that an ASCII terminal lacks; any other is written as `?`.
_IN_ASCII = {"→": "->", "…": "..."}


def start(main: Callable[[list[str]], int]) -> NoReturn:
    """Run a task with the arguments of this process, and exit with its exit code."""
    codecs.register_error("in-ascii", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="in-ascii")
    try:
        try:
            code = main(sys.argv[1:])
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except BrokenPipeError:  # `run.py list | head`: the rest is not wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = _NO_READER
    except KeyboardInterrupt:
        code = 130  # 128 + SIGINT
    except OSError as error:
        if error.errno == errno.ENOSPC and not error.filename:
            print("run.py: cannot write the output: no space is left there.", file=sys.stderr)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is buffered cannot be written either
            sys.exit(1)
        if error.errno not in _NOT_WRITABLE or not error.filename:
            raise
        print(f"run.py: cannot write {error.filename}: {error.strerror}.", file=sys.stderr)
        code = 1
    sys.exit(code)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(character, "?") for character in text), error.end
