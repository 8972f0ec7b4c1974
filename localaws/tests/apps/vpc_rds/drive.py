def drive(app):
    """The function reaches the database with its secret."""
    answer = app.invoke("QueryName")
    assert answer == {"engine": "postgres", "user": "shop", "database": "shop", "tls": "S"}
