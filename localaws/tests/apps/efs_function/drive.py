def drive(app):
    """Files outlive an invocation."""
    assert app.invoke("FunctionName", {"text": "one"}) == "one;"
    assert app.invoke("FunctionName", {"text": "two"}) == "one;two;"
