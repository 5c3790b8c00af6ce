"""The disk as the operating system gives it: open folders, whole-or-absent writes, locks, copies, space.

Knows no model. Every OSError leaves translated, by `system.failures`.
"""
