"""Replays of archived events, and what EventBridge refuses of archives and replays.

The emulator replays to every rule, and completes a replay that was cancelled.

Faithful to: `Destination.FilterArns`: only these rules get the events; without it every rule of the bus does.
Events are replayed in the order of their time, with `replay-name`, and never archived again, also not by the
archive of a bus that they are forwarded to. A cancelled replay stops. An archive is made for a bus that
exists; a replay goes to the bus of its archive, from a time to a later one; its name is never used again.
Not to: the speed, and the number of replays at the same time (10); the managed rule that an archive has.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_StartReplay.html
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ReplayDestination.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-archive.html
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import (
    error_response_json,
    get_account_id,
    get_region,
    json_response,
    request_scope,
)
from ministack.services import eventbridge

from localaws.patching import Properties, around, replaces
from localaws.refusals import Parameters, Refusal, refuses

Replay = dict[str, Any]


def _not_valid(parameter: str, reason: str) -> Refusal:
    return Refusal("ValidationException", f"Parameter {parameter} is not valid. Reason: {reason}")


@refuses("events", "CreateArchive")
def _archive(request: Parameters) -> Refusal | None:
    arn = request.get("EventSourceArn")
    return _missing_bus(arn) if isinstance(arn, str) else None  # a structure in a template


@refuses("events", "StartReplay")
def _replay(request: Parameters) -> Refusal | None:
    source, destination = str(request["EventSourceArn"]), request["Destination"]
    bus = str(destination["Arn"])
    if ":event-bus/" not in bus:
        return _not_valid("Destination.Arn", "Must contain an event bus ARN.")
    if found := _missing_bus(bus):
        return found
    if ":archive/" not in source:
        return _not_valid("EventSourceArn", "Must contain an archive ARN.")
    name = source.rpartition("/")[2]
    archive = eventbridge._archives.get(name)
    if archive is None or archive["ArchiveArn"] != source:
        return _not_valid("EventSourceArn", f"Archive {name} does not exist.")
    if archive["EventSourceArn"] != bus:
        return _not_valid("Destination.Arn", "Cross event bus replay is not permitted.")
    start, end = (eventbridge._coerce_timestamp(request[f"Event{one}Time"]) for one in ("Start", "End"))
    if start >= end:
        return _not_valid("EventEndTime", "EventStartTime must be before EventEndTime.")
    rules = {rule["Arn"] for rule in eventbridge._rules.values()}
    for rule in destination.get("FilterArns") or []:
        if rule not in rules:
            return _not_valid("Destination.FilterArns", f"Rule {rule} does not exist.")
    if request["ReplayName"] in eventbridge._replays:
        text = f"Replay {request['ReplayName']} already exists."
        return Refusal("ResourceAlreadyExistsException", text)
    return None


def _missing_bus(arn: str) -> Refusal | None:
    name = arn.rpartition("/")[2]
    own = f"arn:aws:events:{get_region()}:{get_account_id()}:event-bus/{name}"
    if arn == own and (name == "default" or name in eventbridge._event_buses):
        return None
    return Refusal("ResourceNotFoundException", f"Event bus {name} does not exist.")


@replaces(eventbridge, "_start_replay")
def _start_replay(data: Properties) -> Any:
    name = data["ReplayName"]
    archive = eventbridge._archives[data["EventSourceArn"].rpartition("/")[2]]
    replay = {
        "Description": "",
        **data,
        "ReplayArn": f"arn:aws:events:{get_region()}:{get_account_id()}:replay/{name}",
        "EventStartTime": eventbridge._coerce_timestamp(data["EventStartTime"]),
        "EventEndTime": eventbridge._coerce_timestamp(data["EventEndTime"]),
        "State": "STARTING",
        "ReplayStartTime": time.time(),
    }
    eventbridge._replays[name] = replay
    events = sorted(archive.get("Events", []), key=lambda event: event["Time"])
    chosen = [one for one in events if replay["EventStartTime"] <= one["Time"] <= replay["EventEndTime"]]
    arguments = (replay, chosen, get_account_id(), get_region())
    threading.Thread(target=_run, args=arguments, daemon=True, name=f"localaws-replay-{name}").start()
    return json_response({"ReplayArn": replay["ReplayArn"], "State": "STARTING"})


def _run(replay: Replay, events: list[dict[str, Any]], account: str, region: str) -> None:
    bus = replay["Destination"]["Arn"].rpartition("/")[2]
    with request_scope(account, region):
        if replay["State"] == "STARTING":
            replay["State"] = "RUNNING"
        for event in events:
            if replay["State"] != "RUNNING":
                return
            replayed = {**event, "EventBusName": bus, "ReplayName": replay["ReplayName"]}
            eventbridge._dispatch_event(replayed)
            replay["EventLastReplayedTime"] = event["Time"]
        if replay["State"] == "RUNNING":
            replay["State"], replay["ReplayEndTime"] = "COMPLETED", time.time()


def is_excluded(event: dict[str, Any], rule: Properties) -> bool:
    """Whether an event is replayed to other rules of this bus only."""
    if not event.get("ReplayName") or event.get("_DispatchPath"):  # the latter: forwarded from another bus
        return False
    replay = eventbridge._replays.get(event["ReplayName"]) or {"Destination": {}}
    chosen = replay["Destination"].get("FilterArns")
    return bool(chosen) and rule["Arn"] not in chosen


@around(eventbridge, "_archive_event")
def _archive_event(stock: Callable[..., None], event: dict[str, Any], view: Any = None) -> None:
    if not event.get("ReplayName"):
        stock(event, view)


@around(eventbridge, "_cancel_replay")
def _cancel_replay(stock: Callable[[Properties], Any], data: Properties) -> Any:
    replay = eventbridge._replays.get(data.get("ReplayName"))
    if replay and replay["State"] not in ("STARTING", "RUNNING"):
        text = f"Replay {data['ReplayName']} is not in a valid state for this operation."
        return error_response_json("IllegalStatusException", text, 400)
    status, headers, body = stock(data)
    if status >= 300:
        return status, headers, body
    return json_response({**json.loads(body), "State": "CANCELLING"})
