"""Stacks of the family edge: CloudFront."""
