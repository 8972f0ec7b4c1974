"""Takes mail that SES has stored."""
