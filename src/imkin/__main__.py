"""`python -m imkin` is `imkin`."""

from imkin.cli import main

main()
