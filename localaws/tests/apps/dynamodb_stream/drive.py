def drive(app):
    """Inserts are audited and updates are not."""
    dynamodb, orders = app.client("dynamodb"), app.outputs["OrdersName"]

    def put(id, total):
        dynamodb.put_item(TableName=orders, Item={"id": {"S": id}, "total": {"N": str(total)}})

    (mapping,) = app.client("lambda").list_event_source_mappings(FunctionName=app.outputs["SubscriberName"])[
        "EventSourceMappings"
    ]
    assert mapping["State"] == "Enabled"
    put("a", 1)
    put("a", 2)
    put("b", 3)

    def audited():
        items = dynamodb.scan(TableName=app.outputs["AuditName"])["Items"]
        assert sorted((item["id"]["S"], item["total"]["S"]) for item in items) == [("a", "1"), ("b", "3")]
        return True

    app.wait_until(audited)
