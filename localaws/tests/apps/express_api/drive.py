def drive(app):
    """The api answers with the output of the workflow."""
    url = next(value for key, value in app.outputs.items() if key.startswith("ApiEndpoint"))
    answer = app.request("POST", url, json_body={"name": "Ada"})
    assert (answer.status, answer.json()) == (200, {"greeting": "Hello, Ada!"})
    items = app.client("dynamodb").scan(TableName=app.outputs["TableName"])["Items"]
    assert [item["name"]["S"] for item in items] == ["Ada"]
