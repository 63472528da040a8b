"""`python -m slicebank`: the command line."""

from slicebank.cli import main

if __name__ == "__main__":
    main()
