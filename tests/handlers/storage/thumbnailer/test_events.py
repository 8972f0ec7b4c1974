"""Events from S3 and the keys of thumbnails: examples, and properties that hold for all of them."""

import copy
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from shared.failures import failure_message
from shared.s3_events import InvalidEvent, InvalidRecord, later_of, parse_record, records_of
from storage.thumbnailer import keys as thumbnail_keys
from tests.handlers.storage.thumbnailer.world import Context, record

# Text as keys may have it: any character that UTF-8 can encode, 1 to 1,024 bytes of them.
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1024).filter(
    lambda key: len(key.encode()) <= 1024
)
long_keys = st.tuples(st.text("ab/é🐈", max_size=4), st.sampled_from("aé🐈")).map(
    lambda parts: (parts[0] + parts[1] * 1024).encode()[:1024].decode(errors="ignore")
)
sequencers = st.text("0123456789ABCDEF", max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


# --- Records


def test_a_record_is_read() -> None:
    event = parse_record(record("a b+c.jpg", sequencer="00FF"))
    assert (event.bucket, event.key, event.name, event.sequencer) == (
        "pictures",
        "a b+c.jpg",
        "ObjectCreated:Put",
        "00FF",
    )


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("a+b.jpg", "a b.jpg"),
        ("a%2Bb.jpg", "a+b.jpg"),
        ("a%20b.jpg", "a b.jpg"),
        ("a%25b.jpg", "a%b.jpg"),
        ("100%2525.jpg", "100%25.jpg"),
        ("%C3%BC.jpg", "ü.jpg"),
        ("u%CC%88.jpg", "u\u0308.jpg"),  # another key than the one above, although it looks the same
        ("a%0Ab.jpg", "a\nb.jpg"),
        ("a%0D%0Ab.jpg", "a\r\nb.jpg"),
        ("%01.jpg", "\x01.jpg"),
        ("a/b%3Fc%23d%26e%3D.jpg", "a/b?c#d&e=.jpg"),
        ("%F0%9F%90%88.jpg", "🐈.jpg"),
        ("a%2Fb.jpg", "a/b.jpg"),
        ("+.jpg", " .jpg"),
    ],
)
def test_a_key_is_decoded_once(encoded: str, key: str) -> None:
    one = record("x")
    one["s3"]["object"]["key"] = encoded
    assert parse_record(one).key == key


@given(key=keys, encoder=st.sampled_from([quote_plus, quote]))
@example(key="a+b c%20d", encoder=quote_plus)
def test_every_key_survives_the_encoding_of_s3(key: str, encoder: Any) -> None:
    one = record(key)
    one["s3"]["object"]["key"] = encoder(key)
    assert parse_record(one).key == key


def test_a_record_without_a_sequencer_is_read() -> None:
    one = record("cat.jpg")
    del one["s3"]["object"]["sequencer"]
    assert parse_record(one).sequencer == ""


def without(*path: str) -> dict[str, Any]:
    one = record("cat.jpg")
    inner = one
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return one


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (None, "the record is not an object"),
        ("text", "the record is not an object"),
        ({}, "eventSource is missing"),
        (record("x") | {"eventSource": "aws:sqs"}, "only records of 'aws:s3' are understood"),
        (record("x") | {"s3": 5}, "s3 is not an object, so it has no 'bucket'"),
        (without("eventName"), "eventName is missing"),
        (without("s3"), "s3 is not an object, so it has no 'bucket'"),
        (without("s3", "bucket", "name"), "s3.bucket.name is missing"),
        (without("s3", "object", "key"), "s3.object.key is missing"),
        (record(""), "s3.object.key is missing, empty"),
        (record("x" * 1025), "s3.object.key has 1,025 bytes; a key has at most 1,024"),
        (record("é" * 513), "s3.object.key has 1,026 bytes"),
    ],
)
def test_an_invalid_record_is_refused_with_what_is_missing(broken: object, message: str) -> None:
    with pytest.raises(InvalidRecord) as caught:
        parse_record(broken)
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["%FF", "%C3", "\ud800"])
def test_a_key_that_is_not_utf_8_is_refused(key: str) -> None:
    one = record("x")
    one["s3"]["object"]["key"] = key
    with pytest.raises(InvalidRecord, match="UTF-8"):
        parse_record(one)


@st.composite
def spoiled_records(draw: st.DrawFn) -> object:
    """A record from S3 in which one field was replaced or removed."""
    one: Any = copy.deepcopy(record("cat.jpg"))
    path = draw(
        st.sampled_from(
            [
                ("eventSource",),
                ("eventName",),
                ("s3",),
                ("s3", "bucket"),
                ("s3", "bucket", "name"),
                ("s3", "object"),
                ("s3", "object", "key"),
                ("s3", "object", "sequencer"),
            ]
        )
    )
    inner = one
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = draw(json_values)
    return one


@given(broken=json_values | spoiled_records())
def test_any_value_is_read_as_a_record_or_refused(broken: object) -> None:
    try:
        event = parse_record(broken)
    except InvalidRecord as failure:
        message = failure_message(
            {"Records": [broken]},
            failure,
            Context(),
            now=datetime.now(UTC),
        )
        assert json.loads(message)["requestPayload"] == {"Records": [broken]}
        assert message.isascii()
    else:
        assert 1 <= len(event.key.encode()) <= 1024
        assert event.bucket


# --- Events


def test_the_records_of_a_notification_are_found() -> None:
    assert records_of({"Records": [1, 2]}) == [1, 2]


def test_the_message_that_s3_sends_when_it_is_configured_has_no_records() -> None:
    assert records_of({"Service": "Amazon S3", "Event": "s3:TestEvent"}) == []


@given(event=json_values)
def test_any_value_is_read_as_an_event_or_refused(event: object) -> None:
    try:
        records = records_of(event)
    except InvalidEvent as error:
        said = str(error)
    else:
        assert isinstance(records, list)
        return
    assert "notification of S3" in said
    assert len(said) < 500


# --- Sequencers


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("", "1"), ("0A", "0B"), ("0A", "0A1"), ("09FF", "0A"), ("0055AED6DCD90281E5", "0055AED6DCD90281E6")],
)
def test_the_later_sequencer_is_found_as_s3_documents_it(earlier: str, later: str) -> None:
    assert later_of(earlier, later) == later
    assert later_of(later, earlier) == later


@given(one=sequencers, other=sequencers, third=sequencers)
@example(one="0A", other="0A0", third="0A00")
def test_sequencers_have_a_total_order(one: str, other: str, third: str) -> None:
    def same(a: str, b: str) -> bool:
        return a.rstrip("0") == b.rstrip("0")

    assert later_of(one, other) in (one, other)
    assert same(later_of(one, other), later_of(other, one))
    assert same(later_of(later_of(one, other), third), later_of(one, later_of(other, third)))
    # Fixed to 20 digits they are numbers, and their order is that of numbers.
    assert int(later_of(one, other).ljust(20, "0"), 16) == max(
        int(one.ljust(20, "0"), 16), int(other.ljust(20, "0"), 16)
    )


# --- Keys of thumbnails


def thumbnail_key(key: str, size: int, *, prefix: str = "", extension: str = "webp") -> str:
    return thumbnail_keys.thumbnail_key(key, size, prefix=prefix, extension=extension)


def test_a_thumbnail_lies_under_the_key_of_its_picture() -> None:
    assert thumbnail_key("photos/a b.jpg", 128) == "photos/a b.jpg/128.webp"
    assert thumbnail_key("a.jpg", 64, prefix="small/", extension="jpg") == "small/a.jpg/64.jpg"


def test_a_key_that_would_be_too_long_is_shortened_and_still_starts_like_its_picture() -> None:
    key = thumbnail_key("photos/" + "é" * 508, 4096)
    assert key.startswith("photos/ééé")
    assert 1023 <= len(key.encode()) <= 1024
    assert key.rpartition("/")[2].endswith("-4096.webp")


@given(key=keys | long_keys, size=st.integers(1, 16_383), prefix=st.sampled_from(["", "small/", "é" * 450]))
def test_keys_of_thumbnails_fit_into_s3(key: str, size: int, prefix: str) -> None:
    made = thumbnail_key(key, size, prefix=prefix)
    assert len(made.encode()) <= 1024
    assert made.startswith(prefix)


@settings(max_examples=300)
@given(one=keys | long_keys, other=keys | long_keys, sizes=st.tuples(*[st.integers(1, 3)] * 2))
@example(one="a", other="a/1.webp", sizes=(1, 1))
@example(one="a" * 1015, other="a" * 1016, sizes=(1, 1))
@example(one="a" * 1024, other="a" * 1023 + "b", sizes=(1, 1))
def test_two_pictures_or_two_sizes_never_share_a_thumbnail(
    one: str, other: str, sizes: tuple[int, int]
) -> None:
    assume((one, sizes[0]) != (other, sizes[1]))
    assert thumbnail_key(one, sizes[0]) != thumbnail_key(other, sizes[1])


@given(key=long_keys, size=st.integers(1, 3))
def test_no_picture_can_be_named_to_overwrite_the_shortened_key_of_another(key: str, size: int) -> None:
    shortened = thumbnail_key(key, size)
    wanted = shortened.removesuffix(f"/{size}.webp").removesuffix(f"-{size}.webp")
    assert thumbnail_key(wanted, size) != shortened
