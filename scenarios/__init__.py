"""What drives a deployed architecture: real events in, outcomes checked."""
