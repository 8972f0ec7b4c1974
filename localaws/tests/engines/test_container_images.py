"""Layers of an image are unpacked into its folder, and nowhere else."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from localaws.engines import container_images


def layer(*members: tarfile.TarInfo) -> bytes:
    """A layer with empty files, folders and links."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for member in members:
            archive.addfile(member)
    return content.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    """A member of a layer."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, linkname, 0o755
    return made


@pytest.mark.parametrize("has_filter", [True, False])
def test_files_links_and_absolute_names_arrive(
    has_filter: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_filter:  # as in Python 3.11.0 to 3.11.3
        monkeypatch.setattr(container_images, "_FILTER", {})
    root = tmp_path / "root"
    root.mkdir()
    members = (member("/a"), member("b", tarfile.SYMTYPE, "/a"), member("c", tarfile.LNKTYPE, "a"))
    container_images._apply(layer(*members), root)
    assert sorted(path.name for path in root.iterdir()) == ["a", "b", "c"]
    assert (root / "b").readlink() == Path("/a")


@pytest.mark.parametrize(
    "members",
    [
        [member("../evil")],
        [member("a/../../evil")],
        [member("out", tarfile.SYMTYPE, ".."), member("out/evil")],
        [member("evil", tarfile.LNKTYPE, "../secret")],
    ],
    ids=["parent", "hidden parent", "through a link", "hard link"],
)
@pytest.mark.parametrize("has_filter", [True, False])
def test_what_leads_out_is_refused(
    members: list[tarfile.TarInfo], has_filter: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_filter:
        monkeypatch.setattr(container_images, "_FILTER", {})
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").touch()
    with pytest.raises(ValueError, match="leads out of the image"):
        container_images._apply(layer(*members), root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "secret"]
