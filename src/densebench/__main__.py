"""`python -m densebench` is the command `densebench`."""

from densebench.cli.main import main

if __name__ == "__main__":
    main()
