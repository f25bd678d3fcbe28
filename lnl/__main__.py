"""`python -m lnl`, which is `lnl` where no scripts are installed."""

from lnl.command import main

if __name__ == "__main__":
    main()
