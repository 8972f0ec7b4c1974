import json
from datetime import UTC, datetime, timedelta

from helpers.foreign_apps import received


def drive(app):
    """Transactions are routed and replayed."""
    events, sqs = app.client("events"), app.client("sqs")
    details = [
        {"result": "approved", "location": "NY-1", "amount": 10},
        {"result": "approved", "location": "LA-1", "amount": 5000},
        {"result": "denied", "location": "NY-1", "amount": 2000},
    ]
    entries = [
        {
            "EventBusName": "atm",
            "Source": "custom.atm",
            "DetailType": "transaction",
            "Detail": json.dumps(each),
        }
        for each in details
    ]
    started = datetime.now(UTC) - timedelta(minutes=5)
    assert events.put_events(Entries=entries)["FailedEntryCount"] == 0
    large = []

    def both():
        large.extend(received(sqs, app.outputs["LargeUrl"]))
        return len(large) >= 2

    app.wait_until(both)
    assert sorted(large) == ['"2000 at NY-1"', '"5000 at LA-1"']  # a JSON string, as EventBridge sends it
    app.wait_until(lambda: app.logs("ApprovedName").count("approved 10") == 1)
    (archive,) = events.list_archives()["Archives"]
    bus = archive["EventSourceArn"]
    arn = events.describe_archive(ArchiveName=archive["ArchiveName"])["ArchiveArn"]
    ended = datetime.now(UTC) + timedelta(minutes=5)
    events.start_replay(
        ReplayName="again",
        EventSourceArn=arn,
        EventStartTime=started,
        EventEndTime=ended,
        Destination={"Arn": bus},
    )
    app.wait_until(lambda: app.logs("ApprovedName").count("approved 10") == 2)
