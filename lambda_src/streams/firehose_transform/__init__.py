"""The handler of `firehose-transform`: lines of web servers become JSON, in a partition for each site."""
