"""Which plans are tried."""
