def drive(app):
    """Customers are added and listed."""

    def query(text, key=app.outputs["Key"], **variables):
        body = {"query": text, "variables": variables}
        return app.request("POST", app.outputs["Url"], json_body=body, headers={"x-api-key": key})

    add = "mutation($c: CustomerInput!) { addCustomer(customer: $c) { id name } }"
    added = query(add, c={"name": "Ada"}).json()["data"]["addCustomer"]
    assert added
    assert added["name"] == "Ada"
    assert query("{ customers { id name } }").json() == {"data": {"customers": [added]}}
    assert query("{ customers { id } }", key="da2-wrong").status == 401
