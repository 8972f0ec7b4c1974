"""The handler of `log-processor`: problems in log events become rows, a metric and alerts."""
