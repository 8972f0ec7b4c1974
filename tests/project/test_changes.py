"""`run.py test --changed`: which files differ from `main`, and which tests are selected for them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stacks.catalogue import ARCHITECTURES
from tasks.changes import EVERYTHING, SHARED, changed_files, rows_of, select_tests
from tasks.errors import TaskError

ROOT = Path(__file__).resolve().parents[2]


def family(name: str) -> list[str]:
    """The ids of a family."""
    return [row.id for row in ARCHITECTURES if row.family == name]


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with three files on `main`, on a branch that has left `main`."""
    git(tmp_path, "init", "--initial-branch", "main")
    for name in ("kept.py", "edited.py", "removed.py", "later.py"):
        (tmp_path / name).write_text(name)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "begin")
    git(tmp_path, "checkout", "-b", "work")
    return tmp_path


def test_committed_uncommitted_and_untracked_changes_are_found(repository: Path) -> None:
    (repository / "committed.py").touch()
    git(repository, "add", "-A")
    git(repository, "commit", "-m", "go on")
    (repository / "edited.py").write_text("edited")
    (repository / "removed.py").unlink()
    (repository / "a b").mkdir()
    (repository / "a b" / "ü.py").touch()
    (repository / "staged.py").touch()
    git(repository, "add", "staged.py")
    assert changed_files(repository) == ["a b/ü.py", "committed.py", "edited.py", "removed.py", "staged.py"]


def test_what_changed_on_main_since_is_not_ours(repository: Path) -> None:
    git(repository, "checkout", "main")
    (repository / "later.py").write_text("by another branch")
    git(repository, "commit", "-a", "-m", "go on")
    git(repository, "checkout", "work")
    assert changed_files(repository) == []


def test_ignored_files_do_not_count(repository: Path) -> None:
    (repository / ".gitignore").write_text("out/\n")
    (repository / "out").mkdir()
    (repository / "out" / "picture.webp").touch()
    assert changed_files(repository) == [".gitignore"]


def test_a_clone_that_has_only_the_remote_branch_compares_with_that(repository: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(repository, "clone", "--branch", "work", str(repository), str(clone))
    (clone / "new.py").touch()
    assert changed_files(clone) == ["new.py"]


def test_without_the_branch_or_a_repository_it_is_an_error(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for folder in (repository, tmp_path_factory.mktemp("no-repository")):
        with pytest.raises(TaskError, match="compares with the branch trunk, and git does not find it"):
            changed_files(folder, base="trunk")


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("constructs/cdk_lambda_patterns/storage/thumbnailer.py", ["thumbnailer"]),
        ("constructs/cdk_lambda_patterns/storage/thumbnailer/options.py", ["thumbnailer"]),
        ("stacks/messaging/sqs_consumer.py", ["sqs-consumer"]),
        ("lambda_src/data/rds_proxy/handler.py", ["rds-proxy"]),
        ("lambda_src/storage/thumbnailer/decoders/jpeg.py", ["thumbnailer"]),
        ("scenarios/web/alb_function/checks.py", ["alb-function"]),
        ("docs/delivery/canary-alias.md", ["canary-alias"]),
        ("tests/local/delivery/test_canary_alias_roles.py", ["canary-alias"]),
        ("tests/handlers/storage/thumbnailer/pictures.py", ["thumbnailer"]),
        ("scenarios/delivery/callers.py", family("delivery")),
        ("tests/constructs/storage/conftest.py", family("storage")),
        ("lambda_src/shared/s3_events.py", []),
        ("tasks/environment.py", []),
        ("benchmarks/thumbnailer.py", []),
        ("localaws/tests/storage/thumbnailer.py", []),
        ("stacks/catalogue.py", []),
    ],
)
def test_a_file_belongs_to_an_architecture_or_to_those_of_its_family(path: str, ids: list[str]) -> None:
    assert [row.id for row in rows_of(path)] == ids


def checkout(root: Path, *files: str) -> Path:
    """A checkout with some test files."""
    for name in (
        *files,
        "tests/contracts/test_all.py",
        "tests/stacks/test_all.py",
        "localaws/tests/test_a.py",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_file_of_an_architecture_selects_its_tests_and_those_over_the_catalogue(tmp_path: Path) -> None:
    root = checkout(
        tmp_path,
        "tests/constructs/storage/test_thumbnailer.py",
        "tests/handlers/storage/thumbnailer/test_events.py",
        "tests/handlers/storage/metadata_sync/test_rows.py",
        "tests/local/storage/test_thumbnailer.py",
        "tests/local/storage/test_thumbnailer_roles.py",
        "tests/local/storage/test_metadata_sync.py",
    )
    assert select_tests(["lambda_src/storage/thumbnailer/look.py"], root) == [
        "tests/constructs/storage/test_thumbnailer.py",
        "tests/contracts",
        "tests/handlers/storage/thumbnailer",
        "tests/local/storage/test_thumbnailer.py",
        "tests/local/storage/test_thumbnailer_roles.py",
        "tests/stacks",
    ]


@pytest.mark.parametrize(
    ("path", "selected"),
    [
        ("tests/local/storage/test_thumbnailer.py", ["tests/local/storage/test_thumbnailer.py"]),
        ("localaws/tests/test_a.py", ["localaws/tests/test_a.py"]),
        ("localaws/tests/helpers/rds_proxies.py", ["localaws/tests"]),
        ("localaws/src/localaws/services/s3/x.py", ["localaws/tests", "tests/local"]),
        ("constructs/cdk_lambda_patterns/core/limits.py", ["tests/contracts", "tests/local", "tests/stacks"]),
        ("tests/stacks/__snapshots__/test_snapshots/thumbnailer.json", ["tests/stacks"]),
        ("scenarios/support/redrive.py", ["tests/local"]),
        ("requirements.txt", ["localaws/tests", "tests"]),
        ("tests/conftest.py", ["localaws/tests", "tests"]),
        ("a/file/that/no/rule/knows", ["localaws/tests", "tests"]),
        ("tests/local/storage/test_was_removed.py", []),
        ("README.md", []),
    ],
)
def test_any_other_file_selects_the_tests_of_what_may_use_it(
    tmp_path: Path, path: str, selected: list[str]
) -> None:
    root = checkout(tmp_path, "tests/local/storage/test_thumbnailer.py")
    assert select_tests([path], root) == selected


def test_a_selected_folder_includes_the_files_in_it(tmp_path: Path) -> None:
    root = checkout(tmp_path, "tests/local/storage/test_thumbnailer.py")
    changed = ["scenarios/framework.py", "scenarios/storage/thumbnailer.py", "tests/stacks/test_all.py"]
    assert select_tests(changed, root) == ["tests/contracts", "tests/local", "tests/stacks"]
    assert select_tests([], root) == []


def test_the_table_names_tests_of_this_checkout() -> None:
    for prefix in SHARED:
        assert (ROOT / prefix).exists(), prefix
    coming = {"tests/contracts"}
    for target in {*EVERYTHING, *(test for tests in SHARED.values() for test in tests)} - coming:
        assert (ROOT / target).exists(), target


def test_every_architecture_has_tests_that_are_selected() -> None:
    for row in ARCHITECTURES:
        selected = select_tests([f"stacks/{row.family}/{row.module}.py"], ROOT)
        assert "tests/contracts" in selected, row.id
        assert any("tests/handlers/" in name for name in selected), row.id
