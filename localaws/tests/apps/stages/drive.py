def drive(app):
    """Each stage writes to its own table."""
    assert set(app.stacks) == {"Beta-Storage", "Beta-Service", "Prod-Storage", "Prod-Service"}
    for stage in ("Beta", "Prod"):
        assert app.invoke(app.stacks[f"{stage}-Service"]["FunctionName"], {"id": "1"}) == stage
        table = app.stacks[f"{stage}-Storage"]["TableName"]
        items = app.client("dynamodb").scan(TableName=table)["Items"]
        assert items == [{"id": {"S": "1"}, "stage": {"S": stage}}]
