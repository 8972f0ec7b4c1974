def drive(app):
    """The load balancer answers with the function."""
    url = f"http://{app.outputs['DnsName']}"
    assert app.request("GET", f"{url}/orders?page=2").json() == {"path": "/orders", "query": {"page": "2"}}
    closed = app.request("GET", f"{url}/maintenance")
    assert (closed.status, closed.body) == (503, b"back soon")
