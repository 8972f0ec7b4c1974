def drive(app):
    """The function uses its layer."""
    answer = app.invoke("AliasArn", {"name": "Ada"})
    assert answer["greeting"] == "Hello, Ada"
    assert app.outputs["LayerArn"].endswith(":1")
