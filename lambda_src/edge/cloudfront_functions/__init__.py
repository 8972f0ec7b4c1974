"""The handler of `cloudfront-functions`, and the functions that run before and after its cache."""
