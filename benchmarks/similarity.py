"""How alike two pictures look: the structural similarity of their brightness, 1.0 for the same picture.

Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity.
IEEE Transactions on Image Processing 13 (4), 2004. Over windows of 8 x 8 pixels, 4 apart.
"""

from collections.abc import Iterator

from PIL import Image, ImageMath

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def similarity(one: Image.Image, other: Image.Image) -> float:
    """Return the mean structural similarity of two pictures of the same size."""
    if one.size != other.size:
        raise ValueError(f"pictures of {one.size} and {other.size} pixels; give two of the same size")
    values = [value for shift in ((0, 0), (4, 0), (0, 4), (4, 4)) for value in _windows(one, other, shift)]
    return sum(values) / len(values)


def _windows(one: Image.Image, other: Image.Image, shift: tuple[int, int]) -> Iterator[float]:
    right, bottom = (edge - (edge - start) % 8 for edge, start in zip(one.size, shift, strict=True))
    x, y = (image.convert("L").crop((*shift, right, bottom)).convert("F") for image in (one, other))
    means = (_means(image) for image in (x, y, _product(x, x), _product(y, y), _product(x, y)))
    for a, b, aa, bb, ab in zip(*means, strict=True):
        variances, covariance = aa - a * a + bb - b * b, ab - a * b
        yield (2 * a * b + _C1) * (2 * covariance + _C2) / ((a * a + b * b + _C1) * (variances + _C2))


def _means(image: Image.Image) -> list[float]:
    small = image.reduce(8)
    return [float(small.getpixel((x, y))) for y in range(small.height) for x in range(small.width)]  # type: ignore[arg-type] # one band


def _product(one: Image.Image, other: Image.Image) -> Image.Image:
    product = ImageMath.lambda_eval(lambda images: images["one"] * images["other"], one=one, other=other)
    assert isinstance(product, Image.Image)
    return product
