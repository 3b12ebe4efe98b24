"""`python -m mailqueue`: the command line, where its script is not on the path."""

from mailqueue.cli import main

main()
