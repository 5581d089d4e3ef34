"""These tests are collected where OpenVINO is installed."""

from octavo.backends.registry import ENTRIES

collect_ignore_glob = ["test_*.py"] if ENTRIES["openvino"].missing else []
