"""The settings of the function, which the construct writes into its environment."""

import pytest

from storage.thumbnailer.settings import Settings
from tests.handlers.storage.thumbnailer.world import ENVIRONMENT


def read(**changes: str) -> Settings:
    return Settings.from_environment(ENVIRONMENT | changes)


def test_settings_are_read_from_the_environment() -> None:
    settings = read(SIZES="128, 256,512", BACKGROUND="#10fFa0", OUTPUT_PREFIX="small/")
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
    output_format: str, extension: str, content_type: str
) -> None:
    settings = read(OUTPUT_FORMAT=output_format)
    assert (settings.extension, settings.content_type) == (extension, content_type)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SIZES", ""),
        ("SIZES", "128;256"),
        ("OUTPUT_FORMAT", "png"),
        ("QUALITY", "80.5"),
        ("MAX_PIXELS", "64e6"),
        ("BACKGROUND", "white"),
        ("BACKGROUND", "#fff"),
        ("BACKGROUND", "#ffffffff"),
        ("DESTINATION_BUCKET", ""),
    ],
)
def test_an_unreadable_value_is_refused_with_the_name_of_its_variable(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"the environment variable {variable}={value!r}: "):
        read(**{variable: value})


def test_a_missing_variable_is_named() -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "TABLE_NAME"}
    with pytest.raises(ValueError, match="the environment variable TABLE_NAME is missing"):
        Settings.from_environment(environment)
