"""Firehose records → an answer to each: Ok with its partition, Dropped, or ProcessingFailed.

A bad record costs that record only: Firehose writes it to the error output, with its data, so that it can be
put again. An exception would cost the whole batch, so there is none for a record.

An answer has at most 6 MB, and lines grow. What does not fit is put into the delivery stream again, and is
answered as Dropped: it comes back with a later batch. What cannot be put again has failed.
"""

from base64 import b64encode
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_quick_client

    from .lines import NotALine, convert
    from .reingestion import Marked, marked, put_again, unmarked

    logger = Logger()
    firehose = make_quick_client("firehose")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Record = dict[str, Any]
# Lambda takes 6,291,556 bytes. What is around the data of a record is its id, its site, and punctuation.
# https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html
_ANSWER, _AROUND = 6_000_000, 150


class _Grown(NamedTuple):
    """A record that is converted: what to answer, its size, and what to put again if it does not fit."""

    answer: Record
    size: int
    source: Marked


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer each record of a batch."""
    answers: dict[str, Record] = {}
    converted: list[_Grown] = []
    reasons: dict[str, str] = {}
    room = _ANSWER
    for record in event["records"]:
        number, source = record["recordId"], unmarked(a2b_base64(record["data"]))
        try:
            site, text = convert(source.data)
        except NotALine as reason:
            reasons[number] = str(reason)
            continue
        finally:
            room -= len(number) + _AROUND
        if not text:
            answers[number] = {"recordId": number, "result": "Dropped"}
            continue
        answer = {
            "recordId": number,
            "result": "Ok",
            "data": b64encode(text).decode(),
            "metadata": {"partitionKeys": {"site": site}},
        }
        converted.append(_Grown(answer, len(answer["data"]) + len(site), source))
    dropped, waiting = len(answers), []
    # What has waited longest comes first.
    for one in sorted(converted, key=lambda one: -one.source.rounds):
        if one.size <= room:
            room -= one.size
            answers[one.answer["recordId"]] = one.answer
        else:
            waiting.append(one)
    again = _wait(event, waiting, answers, reasons) if waiting else 0
    if reasons:
        logger.warning("records failed", failures=len(reasons), first=next(iter(reasons.items())))
    logger.info("batch done", records=len(event["records"]), dropped=dropped, put_again=again)
    return {"records": [answers.get(one["recordId"]) or _failed(one) for one in event["records"]]}


def _wait(
    event: dict[str, Any], waiting: list[_Grown], answers: dict[str, Record], reasons: dict[str, str]
) -> int:
    """Put again what does not fit, and return how many records Firehose took."""
    found: list[tuple[str, bytes]] = []
    for one in waiting:
        number = one.answer["recordId"]
        data = marked(one.source) if one.size + len(number) + _AROUND <= _ANSWER else None
        if data is None:
            reasons[number] = "its lines are too long for an answer, or it was put again too often"
        else:
            found.append((number, data))
    stream = event["deliveryStreamArn"].rpartition("/")[2]
    left, error = put_again(firehose, stream, [data for _, data in found])
    for place, (number, _) in enumerate(found):
        if place in left:
            reasons[number] = f"it could not be put again: {error}"
        else:
            answers[number] = {"recordId": number, "result": "Dropped"}
    return len(found) - len(left)


def _failed(record: Record) -> Record:
    return {"recordId": record["recordId"], "result": "ProcessingFailed"}
