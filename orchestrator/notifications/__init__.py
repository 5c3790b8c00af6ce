"""Notices of the end of a pull: on the desktop, and to webhooks. One that is not taken fails nothing."""
