import json


def drive(app):
    """An event becomes a line in the log."""
    entry = {
        "EventBusName": app.outputs["BusName"],
        "Source": "shop",
        "DetailType": "sold",
        "Detail": '{"n": 1}',
    }
    assert app.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    logs, group = app.client("logs"), app.outputs["LogName"]
    (line,) = app.wait_until(lambda: logs.filter_log_events(logGroupName=group)["events"])
    assert json.loads(line["message"])["detail"] == {"n": 1}
