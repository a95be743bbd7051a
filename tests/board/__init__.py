"""The board under fire."""
