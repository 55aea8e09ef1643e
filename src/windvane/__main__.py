"""`python -m windvane` is `windvane`."""

import sys

from windvane.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
