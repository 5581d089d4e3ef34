import signal


def pytest_configure():
    """Take Ctrl-C where the tests run in the background of a shell, which ignores it for them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
