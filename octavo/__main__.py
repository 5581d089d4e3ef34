"""`python -m octavo`: the command line without an `octavo` on the path."""

import sys

from octavo.cli import main

if __name__ == "__main__":
    sys.exit(main())
