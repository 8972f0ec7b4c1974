# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH115, PTH120, PTH123, PTH211
"""Moves the calling process into the file system of an execution environment, and keeps nothing of the rest.

`python -S -s -E enter.py FILE_SYSTEM PROGRAM ARGUMENT…` runs a program there; the bootstrap of Python
functions calls `enter` itself. It imports little, because every import is part of each cold start.

The root is a tmpfs, read-only when it is complete, into which the folders of this machine are bound, except
those that an environment has for itself. The process needs no rights: it gets them in a user namespace of
its own, which has its user only, and gives them up when all is done. Root, if it may mount, stays in its user
namespace: in a new one it would lose the files of others.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

_NEWNS, _NEWUSER = 0x20000, 0x10000000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND = 1, 2, 4, 32, 4096
_REC, _PRIVATE, _RELATIME = 1 << 14, 1 << 18, 1 << 21
_ST_KEPT, _ST_RELATIME, _DETACH = 2 | 4 | 8 | 1024 | 2048, 4096, 2

# Capabilities: those for files are the first five. Root keeps them, to read what belongs to others.
_FILES, _VERSION = 0b11111, 0x20080522
_CAPBSET_DROP, _NO_NEW_PRIVS = 24, 38  # of prctl

_libc = ctypes.CDLL(None, use_errno=True)


def enter(given: dict[str, Any]) -> None:
    """Build the file system, or join the one of an earlier process of the environment.

    Args:
        given: What `namespaces.FileSystem.described` returns.
    """
    if given["joined"]:
        for descriptor in given["joined"]:
            _call("setns", descriptor, 0)
            os.close(descriptor)
    else:
        _build(given)
    os.chdir(given["folder"])
    _give_up()


def _give_up() -> None:
    """Keep no capabilities with which the mounts could be changed, also for programs that are started."""
    capability = _FILES.bit_length()
    while _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    kept = 0 if os.geteuid() else _FILES
    header, data = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)(kept, kept)
    _call("capset", header, data)
    _call("prctl", _NO_NEW_PRIVS, 1, 0, 0, 0)


def _build(given: dict[str, Any]) -> None:
    _unshare()
    _mount(None, "/", None, _REC | _PRIVATE)
    root = given["root"]
    _mount("root", root, "tmpfs", _NOSUID | _NODEV, "mode=755")
    _copy("/", root, given["own"])
    for path in given["empty"]:
        os.makedirs(root + path, exist_ok=True)
    for path, options in given["scratch"]:
        os.makedirs(root + path, exist_ok=True)
        _mount("scratch", root + path, "tmpfs", _NOSUID | _NODEV, options)
    for path, source, writable in given["binds"]:
        _bind(source, root + path, writable)
    for path, target in given["links"]:
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        os.symlink(target, root + path)
    _mount(None, root, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_NEWNS) == 0:
        return
    _call("unshare", _NEWNS | _NEWUSER)
    ids = {"uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
    for name, text in {"setgroups": "deny", **ids}.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _copy(folder: str, root: str, own: list[str]) -> None:
    """Bind everything in a folder to its place below the root, except what the environment has itself."""
    for entry in os.scandir(folder):
        path = entry.path
        if path in own:
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(path), root + path)
        elif any(one.startswith(path + "/") for one in own):
            os.mkdir(root + path)
            _copy(path, root, own)
        elif entry.is_dir():
            os.mkdir(root + path)
            _mount(path, root + path, None, _BIND | _REC)
        elif entry.is_file() and folder != "/":
            open(root + path, "a").close()
            _mount(path, root + path, None, _BIND)


def _bind(source: str, target: str, writable: bool) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            open(target, "a").close()
    _mount(source, target, None, _BIND)
    if not writable:
        found = os.statvfs(target).f_flag  # the kernel refuses to take one of these away
        kept = found & _ST_KEPT | (_RELATIME if found & _ST_RELATIME else 0)
        _mount(None, target, None, _REMOUNT | _BIND | _RDONLY | kept)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [text and os.fsencode(text) for text in (source, target, kind)]
    _call("mount", *arguments, ctypes.c_ulong(flags), options and os.fsencode(options))


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


def main(given: dict[str, Any], *program: str) -> None:
    """Run a program in the environment; write why it cannot be run."""
    reports: int | None = given["reports"]
    if reports is not None:
        os.set_inheritable(reports, False)  # the program's start closes it
    try:
        enter(given)
        os.execvp(program[0], program)  # noqa: S606 - what it is for
    except OSError as error:
        if reports is None:
            raise
        os.write(reports, (error.strerror or str(error)).lower().encode())
        os._exit(127)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), *sys.argv[2:])
