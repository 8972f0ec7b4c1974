def drive(app):
    """Parameters are read at deployment and at run time."""
    assert app.invoke("ReaderName") == {"/shop/theme/colour": "teal", "/shop/theme/sizes": "S,M,L"}
    configuration = app.client("lambda").get_function_configuration(FunctionName=app.outputs["ReaderName"])
    variables = configuration["Environment"]["Variables"]
    assert (variables["COLOUR"], variables["SIZES"]) == ("teal", "S+M+L")
