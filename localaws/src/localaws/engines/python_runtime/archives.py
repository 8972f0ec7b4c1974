"""Extracts the archives of functions and layers.

Faithful to: permissions and symbolic links, which the environment follows, not the server: nothing is written
through them.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path

_LONGEST_LINK = 4095


def extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """Extract an archive over what is in a folder.

    Links come last, so a folder of the archive stays where the archive also has a link with its name.
    """
    links = []
    for entry in archive.infolist():
        mode = entry.external_attr >> 16
        if stat.S_ISLNK(mode) and 0 < entry.file_size <= _LONGEST_LINK:
            links.append(entry)
            continue
        _make_room(folder, _path(folder, entry), is_folder=entry.is_dir())
        target = archive.extract(entry, folder)
        if mode & 0o7777:
            Path(target).chmod(mode & 0o7777)
    for entry in links:
        path = _path(folder, entry)
        if path.is_dir() and not path.is_symlink():
            continue
        _make_room(folder, path, is_folder=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.fsdecode(archive.read(entry).split(b"\0")[0]))


def _path(folder: Path, entry: zipfile.ZipInfo) -> Path:
    """Where an entry belongs, as `zipfile` has it, which keeps it in the folder."""
    return folder.joinpath(*(part for part in entry.filename.split("/") if part not in ("", ".", "..")))


def _make_room(folder: Path, path: Path, *, is_folder: bool) -> None:
    """Remove what an earlier archive has in the place of an entry, or of one of its folders."""
    for above in path.parents:
        if above == folder:
            break
        if above.is_symlink() or above.is_file():
            above.unlink()
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir() and not is_folder:
        shutil.rmtree(path)
