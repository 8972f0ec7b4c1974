def drive(app):
    """The nested function reads the nested table."""
    dynamodb = app.client("dynamodb")
    for owner, topic in (("ada", "tea"), ("bob", "tea"), ("cy", "coffee")):
        item = {"owner": {"S": owner}, "created": {"N": "1"}, "topic": {"S": topic}}
        dynamodb.put_item(TableName=app.outputs["TableName"], Item=item)
    assert app.invoke("FunctionName", {"topic": "tea"}) == ["ada", "bob"]
    stacks = app.client("cloudformation").describe_stacks()["Stacks"]
    assert sorted(bool(stack.get("ParentId")) for stack in stacks) == [False, False, True, True]
