"""AWS IAM: policies that the emulator does not enforce."""
