def drive(app):
    """A request reaches the function through the queue."""
    url = next(value for key, value in app.outputs.items() if key.startswith("ApiEndpoint"))
    answer = app.request("POST", f"{url}hooks", json_body={"order": 1, "note": "a & b"})
    assert (answer.status, answer.json()) == (202, {"accepted": True})
    app.wait_until(lambda: 'got {"order": 1, "note": "a & b"}' in app.logs("ReaderName"))
    assert app.request("POST", f"{url}hooks", headers={"Content-Type": "text/plain"}).status == 415
