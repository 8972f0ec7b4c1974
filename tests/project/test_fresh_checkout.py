"""A checkout on a machine that has only Python: run.py as a process, with its real venv and pip.

The quick tests are offline: PyPI is a folder with one wheel, a stand-in for uv that "installs" one for npm.
The last test is real in every part, and so takes its time.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.project.wheels import make_wheel

ROOT = Path(__file__).resolve().parents[2]
MADE_OF = (
    *("run.py", "stacks/__init__.py", "stacks/catalogue.py", "stacks/architecture.py", "tasks/__init__.py"),
    *("tasks/commands.py", "tasks/console.py", "tasks/environment.py"),
    *("tasks/errors.py", "tasks/locking.py", "tasks/process.py", "tasks/progress.py", "tasks/bench.py"),
)

FAKE_UV = '''\
#!python
import os, pathlib, sys, time
root = pathlib.Path.cwd()
how = (root / "how-uv-behaves").read_text()
if "requirements-dev.txt" in sys.argv[-1]:
    if how == "sleeps":
        (root / "uv-is-running").write_text(str(os.getpid()))
        time.sleep(600)
    npm = pathlib.Path(sys.executable).with_name("npm")
    npm.write_text("#!" + sys.executable + """
import pathlib, sys
package = pathlib.Path("node_modules", "aws-cdk")
package.mkdir(parents=True, exist_ok=True)
(package / "package.json").touch()
if pathlib.Path("the-registry-is-silent").exists():
    sys.exit("npm error   code: 'ECONNREFUSED'")
if pathlib.Path("the-disk-is-full").exists():
    print("npm warn tar TAR_ENTRY_ERROR ENOSPC: no space left on device, write")  # and it ends with 0, really
""")
    npm.chmod(0o755)
'''
WARM = "import os, pathlib; pathlib.Path(os.environ['JSII_RUNTIME_PACKAGE_CACHE_ROOT']).mkdir(parents=True)\n"
BENCHMARK = '''\
"""Says what it sees."""
import os, sys
def main(): ...
print("python", sys.prefix)
print("caches", os.environ["UV_CACHE_DIR"])
sys.exit(7)
'''


class Checkout:
    """The files of run.py in their own folder, on a machine that has only Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        for name in MADE_OF:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.write("tasks/warm.py", WARM)
        self.write("benchmarks/sees.py", BENCHMARK)
        self.write("package-lock.json", "{}")
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        _, digest = make_wheel(self.wheels, "uv", "0.0.1", script=FAKE_UV)
        self.write("requirements-dev.txt", f"uv==0.0.1 \\\n    --hash=sha256:{digest}\n")
        self.uv("works")

    def write(self, name: str, text: str) -> None:
        """Write a file of the checkout."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def uv(self, how: str) -> None:
        """Say how the stand-in for uv behaves from now on."""
        self.write("how-uv-behaves", how)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start run.py with no home, no node, and nothing of our shell."""
        variables = {"PATH": os.defpath, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        return subprocess.Popen(
            [sys.executable, "-B", str(self.root / "run.py"), *arguments],
            env=variables,
            cwd=self.wheels,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run run.py to its end: its exit code and what it printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in which nothing has been set up."""
    return Checkout(tmp_path)


def test_after_any_interruption_the_same_command_completes_the_set_up(checkout: Checkout) -> None:
    checkout.uv("sleeps")
    process = checkout.start("bench", "sees")
    running = checkout.root / "uv-is-running"
    deadline = time.monotonic() + 60
    while not running.exists() or not running.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run.py: stopped; the same command again continues from here." in err
    with pytest.raises(ProcessLookupError):
        os.kill(int(running.read_text()), 0)

    checkout.uv("works")
    checkout.write("the-registry-is-silent", "")
    code, _, err = checkout.run("bench", "sees")
    assert code == 1
    assert "  done    virtual environment" in err
    assert "run.py: npm did not deliver what 'npm ci' asked for: check the network" in err
    (checkout.root / "the-registry-is-silent").unlink()

    checkout.write("the-disk-is-full", "")
    code, _, err = checkout.run("bench", "sees")
    assert code == 1
    assert f"run.py: The disk that holds {checkout.root} is full: " in err
    assert "Traceback" not in err
    (checkout.root / "the-disk-is-full").unlink()

    code, out, err = checkout.run("bench", "sees")
    assert code == 7, err  # the benchmark's own
    assert f"python {checkout.root / '.venv'}" in out
    assert f"caches {checkout.root / '.cache'}" in out
    assert "virtual environment" not in err, "what was complete is not made again"
    assert "  done    the CDK's command line" in err

    code, _, err = checkout.run("bench", "sees")
    assert (code, err) == (7, "")


@pytest.mark.full
def test_a_clone_sets_itself_up_with_an_empty_home_and_no_node(tmp_path: Path) -> None:
    clone, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", clone], check=True)
    # Only the machine's Python, in its own folder: PATH holds no node, and no git either.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    kept = {
        name: value for name, value in os.environ.items() if name.endswith(("_CERT", "_CERTS", "CERT_FILE"))
    }
    done = subprocess.run(
        ["python3", "run.py", "synth", "thumbnailer"],
        cwd=clone,
        env={**kept, "HOME": str(home), "PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(clone.glob("cdk.out/thumbnailer.template.json"))
