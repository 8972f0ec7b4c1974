def drive(app):
    """The items follow the template."""

    def items():
        found = app.client("dynamodb").scan(TableName=app.outputs["TableName"])["Items"]
        return {item["id"]["S"]: item["value"]["S"] for item in found}

    assert (app.outputs["Count"], items()) == ("2", {"red": "#f00", "green": "#0f0"})
    app.deploy(context={"more": "yes"})
    assert app.outputs["Count"] == "3"
    assert items() == {"red": "#f00", "green": "#0f0", "blue": "#00f"}
