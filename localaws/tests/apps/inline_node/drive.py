import json


def drive(app):
    """The node function counts."""
    assert app.invoke("FunctionName", {"id": "a"}) == {"hits": 1, "region": "us-east-1"}
    assert app.invoke("FunctionName", {"id": "a"})["hits"] == 2
    failed = app.client("lambda").invoke(FunctionName=app.outputs["FunctionName"], Payload=b'{"id": "bad"}')
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorType"] == "RangeError"
    app.wait_until(lambda: any("counting" in line for line in app.logs("FunctionName")))
