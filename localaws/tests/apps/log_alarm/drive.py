import json

from helpers.foreign_apps import received


def drive(app):
    """An error line raises the alarm."""
    app.invoke("FunctionName", {"line": "all is well"})
    app.invoke("FunctionName", {"line": "ERROR: it broke"})
    (notice,) = app.wait_until(lambda: received(app.client("sqs"), app.outputs["InboxUrl"]))
    message = json.loads(json.loads(notice)["Message"])
    assert (message["AlarmName"], message["NewStateValue"]) == (app.outputs["AlarmName"], "ALARM")
    assert message["Trigger"]["MetricName"] == "ErrorLines"
