def drive(app):
    """The function finds the file and the program."""
    assert app.invoke("FunctionName") == "FROM THE LAYER"
