"""What every stage shares: the token, the board, the ledger, the worker's loop. Imports nothing from services/."""

__version__ = "0.1.0"
