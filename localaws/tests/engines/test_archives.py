"""Archives are extracted with their links, and nothing is written through one."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from ministack.services import lambda_svc

from localaws.engines.python_runtime.archives import extract

LINK = 0o120777


def archived(entries: dict[str, tuple[str, int]]) -> zipfile.ZipFile:
    """An archive of what is given as text and mode by path."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for path, (text, mode) in entries.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = mode << 16
            archive.writestr(entry, text)
    return zipfile.ZipFile(written)


def extracted(folder: Path, *archives: dict[str, tuple[str, int]]) -> None:
    """Extract archives, one over the other."""
    for entries in archives:
        extract(archived(entries), folder)


def test_links_stay_links_and_files_keep_their_permissions(tmp_path: Path) -> None:
    library = {"lib/libx.so.1": ("x", 0o755), "lib/libx.so": ("libx.so.1", LINK), "plain": ("y", 0)}
    extracted(tmp_path, library)
    assert (tmp_path / "lib/libx.so").readlink() == Path("libx.so.1")
    assert (tmp_path / "lib/libx.so").read_text() == "x"
    assert (tmp_path / "lib/libx.so.1").stat().st_mode & 0o777 == 0o755


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (outside := tmp_path / "outside").mkdir()
    (folder := tmp_path / "folder").mkdir()
    link = {"d": (str(outside), LINK)}
    extracted(folder, {**link, "d/f": ("1", 0o644)})  # in one archive
    assert (folder / "d/f").read_text() == "1"
    extracted(folder, {"e": (str(outside), LINK)}, {"e/f": ("2", 0o644)})  # in two
    extracted(folder, {"g": (str(outside / "g"), LINK)}, {"g": ("3", 0o644)})
    assert [(folder / "e/f").read_text(), (folder / "g").read_text()] == ["2", "3"]
    assert list(outside.iterdir()) == []


def test_a_later_archive_replaces_files_by_folders_and_folders_by_files(tmp_path: Path) -> None:
    extracted(tmp_path, {"a": ("1", 0), "b/c": ("1", 0)}, {"a/c": ("2", 0), "b": ("2", 0)})
    assert [(tmp_path / "a/c").read_text(), (tmp_path / "b").read_text()] == ["2", "2"]


def test_still_needed_the_emulator_makes_text_files_of_links(tmp_path: Path) -> None:
    lambda_svc._extract_zip_preserving_mode(archived({"link": ("target", LINK)}), str(tmp_path))
    assert (tmp_path / "link").read_text() == "target"
