"""The function of `extension`, which logs, and the extension in its layer, which ships what it logs."""
