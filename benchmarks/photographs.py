"""Generated photographs: the same on every machine, with the statistics of real ones.

Two models of natural pictures on top of each other: dead leaves (discs of all sizes that hide each other, as
objects do, whose sizes are spread so that the picture looks alike at any scale) and texture whose contrast
falls with its frequency. The files that come of it are about as large as those of cameras: 12 megapixels are
some 4.5 MB of JPEG and 16 MB of PNG.
"""

from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageDraw

SIZES = {"2 MP": (1632, 1224), "12 MP": (4000, 3000)}
KINDS = ("JPEG", "progressive JPEG", "PNG", "WebP")
_LEAVES = 2500


def photograph(width: int, height: int, *, seed: int = 7) -> Image.Image:
    """Draw a photograph."""
    random = Random(seed)
    leaves = _leaves(random, width // 2, height // 2).resize((width, height), Image.Resampling.BICUBIC)
    texture = _texture(random, width, height)
    return ImageChops.add(leaves, Image.merge("RGB", (texture,) * 3), 1, -128)


def write(folder: Path) -> dict[tuple[str, str], Path]:
    """Write one of each kind and size into a folder."""
    paths = {}
    for size, edges in SIZES.items():
        picture = photograph(*edges)
        for kind in KINDS:
            path = folder / f"{size} {kind}".replace(" ", "-").lower()
            options: dict[str, int | bool] = {"quality": 90}
            if kind == "progressive JPEG":
                options["progressive"] = True
            picture.save(path, kind.split()[-1], **options)
            paths[size, kind] = path
    return paths


def _leaves(random: Random, width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), (90, 100, 110))
    pen = ImageDraw.Draw(image)
    for _ in range(_LEAVES):
        radius = width / 200 / (random.random() ** 0.5 + 0.001)
        x, y = random.uniform(-radius, width + radius), random.uniform(-radius, height + radius)
        tall = radius * random.uniform(0.4, 1.6)
        light = random.gauss(128, 45)
        colour = tuple(round(min(255, max(0, light + random.gauss(0, 25)))) for _ in range(3))
        pen.ellipse((x - radius, y - tall, x + radius, y + tall), fill=colour)
    return image


def _texture(random: Random, width: int, height: int) -> Image.Image:
    """Grey noise, each octave on top of a coarser one."""
    texture = Image.new("L", (2, 2), 128)
    scale = 8
    while texture.size != (width, height):
        larger = max(width, height)
        size = min(width, max(2, width * scale // larger)), min(height, max(2, height * scale // larger))
        noise = Image.frombytes("L", size, random.randbytes(size[0] * size[1]))
        texture = Image.blend(texture.resize(size, Image.Resampling.BICUBIC), noise, 0.1)
        scale *= 2
    return texture
