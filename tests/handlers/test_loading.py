"""What the tests of handlers stand on: folders that are loaded apart from each other."""

import os
import sys
from pathlib import Path

import pytest

from tests.handlers.loading import load_handler


def folder(root: Path, name: str) -> Path:
    """A handler with two modules, the one importing the other."""
    place = root / name
    place.mkdir()
    (place / "settings.py").write_text(f"import os\nNAME = {name!r} + os.environ['SUFFIX']\n")
    (place / "handler.py").write_text("from settings import NAME\n")
    return place


def test_two_folders_with_modules_of_the_same_names_do_not_meet(tmp_path: Path) -> None:
    one = load_handler(folder(tmp_path, "one"), {"SUFFIX": "!"})
    two = load_handler(folder(tmp_path, "two"), {"SUFFIX": "?"})
    assert (one.handler.NAME, two.handler.NAME) == ("one!", "two?")


def test_loading_leaves_nothing_behind(tmp_path: Path) -> None:
    before = set(sys.modules), list(sys.path), dict(os.environ)
    place = folder(tmp_path, "one")
    load_handler(place, {"SUFFIX": ""})
    assert (set(sys.modules), sys.path, dict(os.environ)) == before
    assert {path.name for path in place.iterdir()} == {"handler.py", "settings.py"}


def test_a_module_that_was_loaded_before_is_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "settings", sys)
    assert load_handler(folder(tmp_path, "one"), {"SUFFIX": ""}).settings is not sys
    assert sys.modules["settings"] is sys


def test_a_folder_that_fails_to_load_leaves_nothing_behind(tmp_path: Path) -> None:
    before = set(sys.modules), list(sys.path)
    with pytest.raises(KeyError, match="SUFFIX"):
        load_handler(folder(tmp_path, "one"), {})
    assert (set(sys.modules), sys.path) == before


def test_a_folder_without_modules_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no modules there"):
        load_handler(tmp_path, {})


def test_modules_can_be_imported_late_while_that_is_asked_for(tmp_path: Path) -> None:
    place = folder(tmp_path, "one")
    (place / "handler.py").write_text("def name():\n    from settings import NAME\n    return NAME\n")
    loaded = load_handler(place, {"SUFFIX": "!"})
    with loaded.importable():
        assert loaded.handler.name() == "one!"
    with pytest.raises(ModuleNotFoundError):
        loaded.handler.name()


def test_the_shared_modules_come_along_for_each_folder_anew(tmp_path: Path) -> None:
    loaded = []
    for name in ("one", "two"):
        place = folder(tmp_path, name)
        (place / "handler.py").write_text("from shared.s3_events import parse_record\n")
        loaded.append(load_handler(place, {"SUFFIX": ""}))
    one, two = loaded
    assert one.handler.parse_record is one.shared.s3_events.parse_record
    assert one.shared.s3_events is not two.shared.s3_events
    assert not {"shared", "shared.s3_events"} & set(sys.modules)


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    loaded = load_handler(folder(tmp_path, "one"), {"SUFFIX": ""})
    with pytest.raises(AttributeError, match=r"no module images; it has \['handler', 'settings'\]"):
        _ = loaded.images
