"""Thumbnails: the thumbnailer against sharp (npm), on the same generated photographs, one thread each.

The two take turns on each picture, in processes of their own that stay up. What counts is CPU time, which a
busy machine disturbs little; the table also has the ratio of the fastest turns on the clock. Memory is the
peak of a fresh process that makes one thumbnail, above that of its bare interpreter. Similarity is that to a
thumbnail made slowly: all decoded, one Lanczos step, not encoded.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from PIL import Image

from benchmarks import photographs
from benchmarks.similarity import similarity

HERE = Path(__file__).parent
ROOT = HERE.parent
CACHE = ROOT / ".cache" / "benchmarks" / "sharp"
QUALITY = 80

# How many times as fast as sharp, in CPU time.
TARGETS = {
    ("2 MP", "JPEG"): 1.15,
    ("12 MP", "JPEG"): 1.05,
    ("2 MP", "PNG"): 0.95,
    ("12 MP", "PNG"): 0.95,
    ("2 MP", "WebP"): 0.95,
    ("12 MP", "WebP"): 0.95,
}


class Tool:
    """A worker process that makes thumbnails on request.

    Args:
        command: Starts it.
        folder: Where it runs.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self._command = command
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "UV_THREADPOOL_SIZE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Tool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def make(
        self, file: Path, sizes: list[int], format: str, *, count: int = 1, save: Path | None = None
    ) -> dict[str, float]:
        """Make thumbnails of a file so many times; return the seconds of one time."""
        request = {
            "file": str(file),
            "sizes": sizes,
            "format": format,
            "quality": QUALITY,
            "count": count,
            "save": str(save) if save else None,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._command[0]} ended without an answer; its error is above")
        times: dict[str, float] = json.loads(answer)
        return times


@dataclass(frozen=True)
class Contender:
    """One of the two programs.

    Args:
        command: Starts its worker.
        bare: Starts only its interpreter and prints the peak of its memory, in KB.
        folder: Where both run.
    """

    command: list[str]
    bare: list[str]
    folder: Path

    def start(self) -> Tool:
        """Start its worker."""
        return Tool(self.command, self.folder)

    def memory(self, file: Path, sizes: list[int], format: str) -> float | None:
        """Return how many MB one picture takes, above the bare interpreter; None where it is unknown."""
        if not sys.platform.startswith("linux"):
            return None
        bare = subprocess.run(self.bare, cwd=self.folder, capture_output=True, text=True, check=True)
        with self.start() as tool:
            return (tool.make(file, sizes, format)["peak"] - int(bare.stdout)) / 1024


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table with the ratios to sharp."""
    parser = argparse.ArgumentParser(prog="run.py bench thumbnails", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each for each picture (default: 15)")
    parser.add_argument("--output", choices=("webp", "jpeg"), default="webp", help="default: webp")
    parser.add_argument("--sizes", default="256", help="longest edges in pixels (default: 256)")
    arguments = parser.parse_args(argv)
    sizes = [int(size) for size in arguments.sizes.split(",")]
    contenders = {"ours": _ours(), "sharp": _sharp()}
    print(f"{arguments.output} of {arguments.sizes} px, medians of {arguments.rounds} interleaved turns\n")
    print(
        "| picture | ms of CPU | sharp | times as fast as sharp | target | fastest turns "
        "| MB | sharp | similarity | sharp |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        files = photographs.write(Path(folder))
        for (size, kind), file in files.items():
            row = _Row(f"{size} {kind}", file, sizes, arguments.output, Path(folder))
            row.measure(contenders, arguments.rounds)
            row.show(TARGETS.get((size, kind)) if sizes == [256] else None)
    return 0


class _Row:
    """One picture, and what was measured with it."""

    def __init__(self, title: str, file: Path, sizes: list[int], format: str, folder: Path) -> None:
        self._title = title
        self._file = file
        self._sizes = sizes
        self._format = format
        self._folder = folder
        self._seconds: dict[str, list[dict[str, float]]] = {}
        self._memory: dict[str, float | None] = {}
        self._similarity: dict[str, float] = {}

    def measure(self, contenders: dict[str, Contender], rounds: int) -> None:
        """Let them take turns."""
        for name, contender in contenders.items():
            self._memory[name] = contender.memory(self._file, self._sizes, self._format)
        reference = _reference(self._file, self._sizes[0])
        with contenders["ours"].start() as ours, contenders["sharp"].start() as theirs:
            tools = {"ours": ours, "sharp": theirs}
            for name, tool in tools.items():
                saved = self._folder / f"thumbnail-of-{name}"
                first = tool.make(self._file, self._sizes, self._format, count=2, save=saved)
                self._similarity[name] = similarity(reference, Image.open(io.BytesIO(saved.read_bytes())))
                self._seconds[name] = []
            count = max(1, round(0.1 / first["wall"]))
            for number in range(rounds):
                for name in sorted(tools, reverse=bool(number % 2)):
                    times = tools[name].make(self._file, self._sizes, self._format, count=count)
                    self._seconds[name].append(times)

    def show(self, target: float | None) -> None:
        """Print the row."""
        cpu, wall = self._cpu_ratio(), self._fastest("sharp") / self._fastest("ours")
        wanted = "" if target is None else f"{'met' if cpu >= target else 'MISSED'}: {target:.2f}"
        milliseconds = [
            f"{statistics.median(one['cpu'] for one in self._seconds[name]) * 1000:.1f}"
            for name in ("ours", "sharp")
        ]
        memory = [
            "?" if (used := self._memory[name]) is None else f"{used:.0f}" for name in ("ours", "sharp")
        ]
        alike = [f"{self._similarity[name]:.3f}" for name in ("ours", "sharp")]
        cells = [self._title, *milliseconds, f"{cpu:.2f}", wanted, f"{wall:.2f}", *memory, *alike]
        print("| " + " | ".join(cells) + " |", flush=True)

    def _cpu_ratio(self) -> float:
        pairs = zip(self._seconds["ours"], self._seconds["sharp"], strict=True)
        return statistics.median(theirs["cpu"] / mine["cpu"] for mine, theirs in pairs)

    def _fastest(self, name: str) -> float:
        return min(one["wall"] for one in self._seconds[name])


def _reference(file: Path, size: int) -> Image.Image:
    picture = Image.open(file).convert("RGB")
    scale = min(1.0, size / max(picture.size))
    edges = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(edges, Image.Resampling.LANCZOS)


def _ours() -> Contender:
    peak = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    return Contender(
        [sys.executable, "-m", "benchmarks.thumbnails_worker"], [sys.executable, "-c", peak], ROOT
    )


def _sharp() -> Contender:
    """Install sharp as the lock file says, if that has not been done; nothing of it runs while installing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SystemExit("node and npm are not on the PATH; `python3 run.py bench` brings them along.")
    lock, stamp = (HERE / "package-lock.json").read_bytes(), CACHE / "installed"
    if not stamp.exists() or stamp.read_bytes() != lock:
        CACHE.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(HERE / name, CACHE / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=CACHE, check=True)
        stamp.write_bytes(lock)
    status = "require('node:fs').readFileSync('/proc/self/status', 'utf8')"
    peak = f"console.log(/VmHWM:\\s+(\\d+)/.exec({status})[1])"
    return Contender([node, str(HERE / "sharp_worker.mjs")], [node, "-e", peak], CACHE)


if __name__ == "__main__":
    sys.exit(main())
