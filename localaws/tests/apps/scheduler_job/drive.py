def drive(app):
    """The schedule starts the report."""
    app.wait_until(lambda: "report {'kind': 'minutely'}" in app.logs("ReportName"), timeout=90)
    scheduler = app.client("scheduler")
    (daily,) = scheduler.list_schedules(GroupName="default")["Schedules"]
    found = scheduler.get_schedule(Name=daily["Name"])
    assert found["ScheduleExpression"] == "cron(30 8 * * ? *)"
    assert found["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert found["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
