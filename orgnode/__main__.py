"""`orgnode` and `python -m orgnode`: one and the same program.

Worker processes import their parent's main module again, so it must cost nothing: the command line
is imported only where it runs.
"""


def main() -> None:
    """Run the command line."""
    from orgnode.cli import main as run

    run()


if __name__ == "__main__":
    main()
