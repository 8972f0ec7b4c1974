"""Scenarios of the family edge: CloudFront."""
