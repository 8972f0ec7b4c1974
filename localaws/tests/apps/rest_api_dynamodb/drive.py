def drive(app):
    """Items are created read and deleted."""
    url = next(value for key, value in app.outputs.items() if key.startswith("ApiEndpoint"))
    created = app.request("POST", f"{url}items", json_body={"name": "pen"})
    assert created.status == 201
    id = created.json()["id"]
    assert app.request("GET", f"{url}items/{id}").json() == {"id": id, "name": "pen"}
    preflight = app.request("OPTIONS", f"{url}items", headers={"Origin": "https://example.com"})
    assert (preflight.status, preflight.header("access-control-allow-origin")) == (204, "*")
    assert app.request("DELETE", f"{url}items/{id}").status == 204
    assert app.request("GET", f"{url}items/{id}").status == 404
    assert app.request("PUT", f"{url}items/{id}").status == 403  # Missing Authentication Token
