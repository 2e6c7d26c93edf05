"""`python -m kiwoom_async`: the console script."""

import sys

from kiwoom_async._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
