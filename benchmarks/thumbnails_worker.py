"""Makes thumbnails with the thumbnailer's own code, one request a line, for benchmarks/thumbnails.py."""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lambda_src"))
sys.path.insert(0, str(Path(__file__).parents[1] / "lambda_src" / "storage" / "thumbnailer"))

import pictures  # type: ignore[import-not-found] # the handler's own


def serve() -> None:
    """Answer requests until there are no more."""
    known: dict[str, bytes] = {}
    for line in sys.stdin:
        request = json.loads(line)
        data = known.setdefault(request["file"], Path(request["file"]).read_bytes())
        output = pictures.Output(request["sizes"], request["format"], request["quality"], (255, 255, 255))
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(request["count"]):
            made = pictures.make_thumbnails(data, output, max_pixels=64_000_000)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if request["save"]:
            Path(request["save"]).write_bytes(made.thumbnails[0].data)
        answer = {"wall": wall / request["count"], "cpu": cpu / request["count"], "peak": peak()}
        print(json.dumps(answer), flush=True)


def peak() -> int:
    """The most memory that this process has used, in KB; 0 where Linux is not there to tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


if __name__ == "__main__":
    serve()
