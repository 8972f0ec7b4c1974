def drive(app):
    """Visits are counted by path."""
    url = app.outputs["ApiUrl"]
    assert app.request("GET", f"{url}about").json() == {"path": "/about", "hits": 1, "route": "$default"}
    assert app.request("POST", f"{url}about").json()["hits"] == 2
    assert app.request("GET", f"{url}books/978").json() == {
        "path": "/books/978",
        "hits": 1,
        "route": "GET /books/{isbn}",
    }
