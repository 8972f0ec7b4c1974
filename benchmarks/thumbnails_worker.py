"""Makes thumbnails with the thumbnailer's own code, one request a line, for benchmarks/thumbnails.py."""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lambda_src"))

from storage.thumbnailer.pictures import make_thumbnails
from storage.thumbnailer.settings import Settings


def serve() -> None:
    """Answer requests until there are no more."""
    known: dict[str, bytes] = {}
    for line in sys.stdin:
        request = json.loads(line)
        data = known.setdefault(request["file"], Path(request["file"]).read_bytes())
        settings = Settings(
            destination_bucket="",
            table_name="",
            failure_queue_url="",
            sizes=tuple(request["sizes"]),
            output_format=request["format"],
            quality=request["quality"],
            output_prefix="",
            max_object_size=len(data),
            max_pixels=64_000_000,
            incomplete_jpeg=False,
            background=(255, 255, 255),
        )
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(request["count"]):
            made = make_thumbnails(data, settings)
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
