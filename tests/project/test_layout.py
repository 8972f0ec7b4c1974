"""One architecture has one id, and that name in every room; no file is where it would hide a package."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from stacks.catalogue import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[2]

# Where the files of an architecture are. `{module}` is its id in snake_case. A construct or scenario of more
# than one file is a package with the same import path; tests may be several files, too. Several services have
# a folder each.
ROOMS = {
    "its construct": "constructs/cdk_lambda_patterns/{family}/{module}.py or {module}/__init__.py",
    "its stack": "stacks/{family}/{module}.py",
    "its handler": "lambda_src/{family}/{module}/handler.py or */handler.py",
    "its scenario": "scenarios/{family}/{module}.py or {module}/__init__.py",
    "its page": "docs/{family}/{id}.md",
    "the tests of its construct": "tests/constructs/{family}/*{module}*",
    "the tests of its handler": "tests/handlers/{family}/*{module}*",
}
# A solution is a stack, made of the constructs of other families, so it has no construct of its own.
OF_CONSTRUCTS = ("its construct", "the tests of its construct")


@dataclass(frozen=True)
class Row:
    """An architecture, as far as its files are named after it."""

    id: str
    family: str
    has_construct: bool = True
    has_scenario: bool = True

    def path(self, pattern: str) -> str:
        """The pattern with the names of this architecture."""
        return pattern.format(id=self.id, family=self.family, module=self.id.replace("-", "_"))

    def paths(self, pattern: str) -> list[str]:
        """The paths of which one must exist."""
        first, *others = self.path(pattern).split(" or ")
        return [first, *(f"{first.rpartition('/')[0]}/{other}" for other in others)]

    def rooms(self) -> dict[str, str]:
        """Where its files are."""
        without: tuple[str, ...] = () if self.has_construct else OF_CONSTRUCTS
        without += () if self.has_scenario else ("its scenario",)
        return {room: place for room, place in ROOMS.items() if room not in without}


ROWS = [Row(one.id, one.family, one.has_construct, one.has_scenario) for one in ARCHITECTURES]


def missing(root: Path, rows: list[Row]) -> list[str]:
    """Each file that an architecture should have and does not."""
    return [
        f"{row.id}: {what} should be {row.path(pattern)}"
        for row in rows
        for what, pattern in row.rooms().items()
        if not any(list(root.glob(path)) for path in row.paths(pattern))
    ]


def unlisted(root: Path, rows: list[Row]) -> list[str]:
    """Each file in a folder of architectures that belongs to no row of the catalogue."""
    known = {path for row in rows for pattern in ROOMS.values() for path in row.paths(pattern)}
    found = [
        *root.glob("stacks/*/*.py"),
        *root.glob("lambda_src/*/*/handler.py"),
        *(page for row in rows for page in (root / "docs" / row.family).glob("*.md")),
    ]
    shown = (path.relative_to(root).as_posix() for path in sorted(found) if path.name != "__init__.py")
    return [f"{path} belongs to no architecture of the catalogue" for path in shown if path not in known]


def hiding_packages(root: Path) -> list[str]:
    """Each `__init__.py` that would hide an installed package, or make two tests of one name collide."""
    found = [
        root / "constructs" / "__init__.py",
        root / "localaws" / "__init__.py",
        *root.glob("tests/**/__init__.py"),
        *root.glob("localaws/tests/**/__init__.py"),
    ]
    return [f"{path.relative_to(root)} must not be there" for path in found if path.exists()]


def test_every_architecture_has_all_its_files_under_its_name() -> None:
    assert missing(ROOT, ROWS) == []


def test_every_stack_handler_and_page_is_in_the_catalogue() -> None:
    assert unlisted(ROOT, ROWS) == []


def test_no_file_hides_a_package() -> None:
    assert hiding_packages(ROOT) == []


def test_ids_and_families_are_valid_names_of_files_and_modules() -> None:
    for row in ROWS:
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", row.id), row
        assert re.fullmatch(r"[a-z]+", row.family), row
    assert len({row.id for row in ROWS}) == len(ROWS)


def furnished(root: Path, row: Row) -> Path:
    """Make every file of that architecture."""
    for pattern in ROOMS.values():
        path = root / row.paths(pattern)[0].replace("*", "x")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.mark.parametrize("room", ROOMS)
def test_a_missing_file_is_found(tmp_path: Path, room: str) -> None:
    row = Row("some-pattern", "storage")
    root = furnished(tmp_path, row)
    assert missing(root, [row]) == []
    (root / row.paths(ROOMS[room])[0].replace("*", "x")).unlink()
    assert missing(root, [row]) == [f"some-pattern: {room} should be {row.path(ROOMS[room])}"]


@pytest.mark.parametrize("room", OF_CONSTRUCTS)
def test_a_solution_needs_no_construct_of_its_own(tmp_path: Path, room: str) -> None:
    row = Row("some-app", "solutions", has_construct=False)
    root = furnished(tmp_path, row)
    (root / row.paths(ROOMS[room])[0].replace("*", "x")).unlink()
    assert missing(root, [row]) == []
    assert missing(root, [Row("some-app", "solutions")]) != []


@pytest.mark.parametrize("folder", ["constructs/cdk_lambda_patterns/storage", "scenarios/storage"])
def test_a_construct_and_a_scenario_may_be_a_package_with_the_same_import_path(
    tmp_path: Path, folder: str
) -> None:
    row = Row("some-pattern", "storage")
    root = furnished(tmp_path, row)
    (root / folder / "some_pattern.py").unlink()
    (root / folder / "some_pattern").mkdir()
    assert len(missing(root, [row])) == 1
    (root / folder / "some_pattern" / "__init__.py").touch()
    assert missing(root, [row]) == []


@pytest.mark.parametrize(
    "path", ["stacks/web/other.py", "lambda_src/web/other/handler.py", "docs/storage/other.md"]
)
def test_a_file_of_no_architecture_is_found(tmp_path: Path, path: str) -> None:
    row = Row("some-pattern", "storage")
    root = furnished(tmp_path, row)
    assert unlisted(root, [row]) == []
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).touch()
    assert unlisted(root, [row]) == [f"{path} belongs to no architecture of the catalogue"]


@pytest.mark.parametrize(
    "path",
    ["constructs/__init__.py", "localaws/__init__.py", "tests/__init__.py", "localaws/tests/s3/__init__.py"],
)
def test_an_init_file_in_a_wrong_place_is_found(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).touch()
    assert hiding_packages(tmp_path) == [f"{path} must not be there"]


# A folder of a person's machine. Written so that this file does not contain one.
_HOMES = re.compile(r"(?<![\w.:/])(/(?:home|Users)/(?!user\b|you\b|runner\b)\w|/ro" + r"ot/|[A-Z]:\\Users\\)")


def of_this_machine(root: Path, files: list[str]) -> list[str]:
    """Each line of a text file that names a folder of a person's machine, such as this checkout's."""
    found = []
    for name in files:
        path = root / name
        if not path.is_file() or b"\0" in (content := path.read_bytes()):
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), 1):
            if _HOMES.search(line) or f"{root}/" in line:
                found.append(f"{name}:{number}: {line.strip()[:80]}")
    return found


def test_no_tracked_file_names_a_folder_of_a_persons_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    files = [name for name in listed.stdout.split("\0") if name]
    assert "run.py" in files
    assert of_this_machine(ROOT, files) == []


@pytest.mark.parametrize(
    "folder", ["/ho|me/ann/x", "/Us|ers/ann/x", "/ro|ot/x", "C:\\Us|ers\\ann", "{root}/x"]
)
def test_a_folder_of_a_persons_machine_is_found(tmp_path: Path, folder: str) -> None:
    named = folder.replace("|", "").format(root=tmp_path)  # in two parts here, else this file would be found
    (tmp_path / "a.md").write_text(f"the first line\nsee {named}\n")
    (tmp_path / "b.png").write_bytes(b"\0see " + named.encode())
    assert [found.partition(": ")[0] for found in of_this_machine(tmp_path, ["a.md", "b.png"])] == ["a.md:2"]


def test_a_row_that_is_only_synthesised_needs_no_scenario(tmp_path: Path) -> None:
    row = Row("some-pattern", "storage", has_scenario=False)
    root = furnished(tmp_path, row)
    (root / row.paths(ROOMS["its scenario"])[0]).unlink()
    assert missing(root, [row]) == []
