"""The container's entry: the same as `densebench run`."""

import sys

from densebench.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "run")
    main()
