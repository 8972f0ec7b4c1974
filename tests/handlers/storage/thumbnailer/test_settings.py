"""The settings of the function: read once, and refused with a sentence that says what is allowed."""

from typing import Any

import pytest

from tests.handlers.loading import LoadedHandler
from tests.handlers.storage.thumbnailer.world import ENVIRONMENT


def read(thumbnailer: LoadedHandler, **changes: str) -> Any:
    return thumbnailer.settings.Settings.from_environment(ENVIRONMENT | changes)


def test_settings_are_read_from_the_environment(thumbnailer: LoadedHandler) -> None:
    settings = read(thumbnailer, SIZES="128, 256,512", BACKGROUND="#10fFa0", OUTPUT_PREFIX="small/")
    assert settings.destination_bucket == "thumbnails"
    assert settings.sizes == (128, 256, 512)
    assert settings.background == (16, 255, 160)
    assert (settings.quality, settings.max_object_size, settings.max_pixels) == (80, 200_000, 1_000_000)
    assert (settings.output_prefix, settings.failure_queue_url) == (
        "small/",
        ENVIRONMENT["FAILURE_QUEUE_URL"],
    )


@pytest.mark.parametrize(
    ("output_format", "extension", "content_type"),
    [("webp", "webp", "image/webp"), ("jpeg", "jpg", "image/jpeg")],
)
def test_the_format_decides_the_extension_and_the_content_type(
    thumbnailer: LoadedHandler, output_format: str, extension: str, content_type: str
) -> None:
    settings = read(thumbnailer, OUTPUT_FORMAT=output_format)
    assert (settings.extension, settings.content_type) == (extension, content_type)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SIZES", "", "give whole numbers of pixels, 1 to 16,383, as in '128,256,512'"),
        ("SIZES", "128;256", "give whole numbers of pixels"),
        ("SIZES", "0", "give whole numbers of pixels"),
        ("SIZES", "16384", "give whole numbers of pixels"),
        ("SIZES", "128,128", "a size stands there twice"),
        ("OUTPUT_FORMAT", "png", "give 'webp' or 'jpeg'"),
        ("QUALITY", "0", "give a whole number, 1 to 100"),
        ("QUALITY", "101", "give a whole number, 1 to 100"),
        ("QUALITY", "80.5", "give a whole number, 1 to 100"),
        ("MAX_OBJECT_SIZE", "-1", "give a whole number, 1 or more"),
        ("MAX_PIXELS", "64e6", "give a whole number, 1 or more"),
        ("MAX_PIXELS", "٣", "give a whole number, 1 or more"),
        ("BACKGROUND", "white", "give a colour as in '#ffffff'"),
        ("OUTPUT_PREFIX", "é" * 451, "902 bytes: at most 900 are allowed"),
        ("DESTINATION_BUCKET", "", "must not be empty"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(
    thumbnailer: LoadedHandler, variable: str, value: str, message: str
) -> None:
    with pytest.raises(ValueError, match=f"the environment variable {variable}=") as caught:
        read(thumbnailer, **{variable: value})
    assert message in str(caught.value)


def test_a_missing_variable_is_named(thumbnailer: LoadedHandler) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "TABLE_NAME"}
    with pytest.raises(ValueError, match="the environment variable TABLE_NAME is missing"):
        thumbnailer.settings.Settings.from_environment(environment)
