def drive(app):
    """The function uses the package in its code."""
    answer = app.invoke("FunctionName", {"text": "bundled_without_docker"})
    assert answer["title"] == "Bundled Without Docker"
    assert "site-packages" not in answer["from"]
