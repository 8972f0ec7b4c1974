def drive(app):
    """A request becomes an event."""
    answer = app.request("POST", f"{app.outputs['ApiUrl']}/events/ordered", json_body={"item": "pen"})
    assert answer.status == 200
    assert answer.json()["FailedEntryCount"] == 0
    app.wait_until(lambda: "ordered {'item': 'pen'}" in app.logs("ConsumerName"))
