"""Backends: one folder each, behind the protocol in `base.py`."""
