"""Firehose records → an answer to each: Ok with its partition, Dropped, or ProcessingFailed.

A bad record costs that record only: Firehose writes it to the error output, with its data, so that it can be
put again. An exception would cost the whole batch, so there is none for a record.

An answer has at most 6 MB, and lines grow. What does not fit is put into the delivery stream again, and is
answered as Dropped: it comes back with a later batch. So is what takes too long: once an answer is full, or
half of the time is over, compressed records are put again as they are. What cannot be put again has failed.
"""

from base64 import b64encode
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_quick_client

    from .lines import NotALine, convert, is_compressed
    from .reingestion import Marked, marked, put_again, unmarked

    logger = Logger()
    firehose = make_quick_client("firehose")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Record = dict[str, Any]
# Lambda takes 6,291,556 bytes. Every record takes some with its id and its result, and one that is Ok more.
# https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html
_ANSWER, _RESULT, _OK = 6_000_000, 50, 50


class _Waiting(NamedTuple):
    """A record for a later batch: its id, and what to put again."""

    number: str
    source: Marked


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer each record of a batch."""
    records = [(one["recordId"], unmarked(a2b_base64(one["data"]))) for one in event["records"]]
    answers: dict[str, Record] = {}
    waiting: list[_Waiting] = []
    reasons: dict[str, str] = {}
    room = _ANSWER - sum(len(number) + _RESULT for number, _ in records)
    half_of_the_time = context.get_remaining_time_in_millis() / 2
    # What has waited longest comes first. Lines that do not fit are let go: all may outgrow the memory.
    for place, (number, source) in enumerate(sorted(records, key=_turn)):
        late = place > 0 and context.get_remaining_time_in_millis() < half_of_the_time
        # A few kilobytes become megabytes of lines: to convert all, only to put them again, takes minutes.
        if is_compressed(source.data) and (late or (waiting and answers)):
            waiting.append(_Waiting(number, source))
            continue
        try:
            site, text = convert(source.data)
        except NotALine as reason:
            reasons[number] = str(reason)
            continue
        except Exception as error:  # of this record only
            logger.exception("a record cannot be converted")
            reasons[number] = repr(error)
            continue
        size = (len(text) + 2) // 3 * 4 + len(site) + _OK
        if not text:
            answers[number] = _dropped(number)
        elif size + len(number) + _RESULT > _ANSWER:
            reasons[number] = "its lines are too long for an answer"
        elif size <= room:
            room -= size
            answers[number] = {
                "recordId": number,
                "result": "Ok",
                "data": b64encode(text).decode(),
                "metadata": {"partitionKeys": {"site": site}},
            }
        else:
            waiting.append(_Waiting(number, source))
    again = _put_again(event, waiting, reasons) if waiting else []
    answers |= {number: _dropped(number) for number in again}
    if reasons:
        logger.warning("records failed", failures=len(reasons), first=next(iter(reasons.items())))
    logger.info("batch done", records=len(records), put_again=len(again))
    failed = {number: {"recordId": number, "result": "ProcessingFailed"} for number in reasons}
    return {"records": [answers.get(number) or failed[number] for number, _ in records]}


def _turn(record: tuple[str, Marked]) -> tuple[int, int]:
    """Sort what has waited longest to the front, and small records before large ones."""
    _, source = record
    return -source.rounds, len(source.data)


def _put_again(event: dict[str, Any], waiting: list[_Waiting], reasons: dict[str, str]) -> list[str]:
    """Put records again, and return the ids of those that Firehose took; the others get a reason."""
    found: list[tuple[str, bytes]] = []
    for number, source in waiting:
        data = marked(source)
        if data is None:
            reasons[number] = "it was put again too often, or is too long for that"
        else:
            found.append((number, data))
    stream = event["deliveryStreamArn"].rpartition("/")[2]
    left, error = put_again(firehose, stream, [data for _, data in found])
    reasons |= {found[place][0]: f"it could not be put again: {error}" for place in left}
    return [number for place, (number, _) in enumerate(found) if place not in left]


def _dropped(number: str) -> Record:
    return {"recordId": number, "result": "Dropped"}
