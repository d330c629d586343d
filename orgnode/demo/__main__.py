"""`python -m orgnode.demo`: run the demonstration."""

from orgnode.demo.command import main

if __name__ == "__main__":
    main()
