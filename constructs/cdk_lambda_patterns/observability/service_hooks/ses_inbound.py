"""Mail → SES → S3 → Lambda."""
