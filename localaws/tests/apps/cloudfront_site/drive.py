def drive(app):
    """The distribution serves the page."""
    url = f"https://{app.outputs['Domain']}"
    page = app.request("GET", f"{url}/")
    assert (page.status, page.body) == (200, b"<h1>Hello</h1>")
    assert app.request("GET", f"{url}/missing.html").status == 403
