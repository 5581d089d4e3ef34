"""These tests are collected where PyTorch is installed."""

from octavo.backends.registry import ENTRIES

collect_ignore_glob = ["test_*.py"] if ENTRIES["pytorch"].missing else []
