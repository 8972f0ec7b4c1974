"""`run.py bench` finds what measures, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import bench


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two benchmarks and a helper."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "helper.py").write_text("def measure(): ...")
    for name in ("images", "synth"):
        code = f'"""Measure {name}."""\nimport sys\ndef main(): ...\nprint({name!r}, sys.argv[1:])\n'
        (tmp_path / "benchmarks" / f"{name}.py").write_text(f"{code}sys.exit({int(name == 'synth')})")
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("root")
def test_all_are_run_and_the_worst_exit_code_is_returned(capfd: pytest.CaptureFixture[str]) -> None:
    assert bench.main([]) == 1
    assert capfd.readouterr().out.split("\n== ")[1:] == [
        "images: Measure images.\nimages []\n",
        "synth: Measure synth.\nsynth []\n",
    ]


@pytest.mark.usefixtures("root")
def test_one_is_run_with_its_arguments(capfd: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["images", "--quick"]) == 0
    assert "images ['--quick']" in capfd.readouterr().out


def test_a_terminal_with_only_ascii_ends_no_benchmark(root: Path) -> None:
    (root / "benchmarks" / "micro.py").write_text('"""Micro."""\ndef main(): ...\nprint("5 µs")\n')
    script = (
        "import pathlib, tasks.bench as bench; "
        f"bench.ROOT = pathlib.Path({str(root)!r}); bench.main(['micro'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "5 ?s" in done.stdout, done.stderr


@pytest.mark.usefixtures("root")
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(capfd: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["image"]) == 2
    assert "There is no benchmark 'image': did you mean 'images'?" in capfd.readouterr().err
