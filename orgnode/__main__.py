"""`python -m orgnode`: the same as the `orgnode` command."""

from orgnode.cli import main

if __name__ == "__main__":
    main()
