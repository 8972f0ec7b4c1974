def drive(app):
    """The rule starts the job with its input."""
    app.wait_until(lambda: "ran often" in app.logs("JobName"), timeout=90)
    schedules = [rule.get("ScheduleExpression") for rule in app.client("events").list_rules()["Rules"]]
    assert sorted(schedules) == ["cron(0 18 ? * MON-FRI *)", "rate(1 minute)"]
