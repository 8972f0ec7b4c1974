"""Bridges: what AWS documents and the emulator lacks, in a folder for each AWS service.

A bridge is a module that declares changes of the emulator (see `localaws.patching`). Its docstring says what
it is faithful to, what it is not, and which pages of the AWS documentation it follows. The other modules are
used by bridges.
"""
