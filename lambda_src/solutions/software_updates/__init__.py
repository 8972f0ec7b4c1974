"""Software updates: what CloudFront runs for responses, and a custom resource."""
