"""Importing this registers the sleepy backend: workers do, the tests' own process does not."""

from octavo.backends.registry import Entry, register

register(Entry(name="sleepy", module="sleepy_backend"))
