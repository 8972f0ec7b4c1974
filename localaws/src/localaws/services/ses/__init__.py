"""Amazon Simple Email Service."""
