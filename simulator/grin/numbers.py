"""Barcodes of made-up books from their numbers, and back: a million of them need no memory."""

from __future__ import annotations

from dataclasses import dataclass

MOST = 10_000_000
_SHAPES = 25
"""Of so many books in a row one has each of the odd shapes."""
_HV, _DOLLAR, _DASH = 7, 13, 19
_PREFIX = "35700"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class _Mixer:
    """A one-to-one mixing of the numbers below `modulus`, which has no factor in common with `factor`."""

    modulus: int
    factor: int

    def mixed(self, number: int, shift: int) -> int:
        return (number * self.factor + shift) % self.modulus

    def unmixed(self, number: int, shift: int) -> int:
        return (number - shift) * pow(self.factor, -1, self.modulus) % self.modulus


_EIGHT, _SIX, _LETTERS = _Mixer(10**8, 61_803_399), _Mixer(10**6, 618_033), _Mixer(36**4, 1_038_053)


class Numbers:
    """Book number 0, 1, 2... below `count` has a barcode of its own; another seed gives others."""

    def __init__(self, count: int, seed: int) -> None:
        if not 0 <= count <= MOST:
            raise ValueError(f"An inventory of {count} books cannot be made; ask for 0 to {MOST}.")
        self._count = count
        self._shift = seed * 7_919

    def __len__(self) -> int:
        return self._count

    def barcode(self, number: int) -> str:
        """The barcode: fourteen digits that end in their check digit, for three of 25 another shape."""
        shape = number % _SHAPES
        if shape == _HV:
            return f"HV{_letters(_LETTERS.mixed(number // _SHAPES, self._shift))}"
        if shape == _DOLLAR:
            return f"$B{_SIX.mixed(number // _SHAPES, self._shift):06d}"
        if shape == _DASH:
            digits = _SIX.mixed(number // _SHAPES, self._shift)
            return f"W1PD{digits:06d}-I{digits % 9 + 1}PD{digits % 90 + 10}"
        digits = (number * _EIGHT.factor + self._shift) % _EIGHT.modulus
        return f"{_PREFIX}{digits:08d}{_CHECK[(_PREFIX_SUM + _SUMS[digits // 10_000] + _SUMS[digits % 10_000]) % 10]}"

    def number(self, barcode: str) -> int | None:
        """The number of the book with this barcode; None if there is none."""
        number = self._guess(barcode)
        return number if number is not None and number < self._count and self.barcode(number) == barcode else None

    def _guess(self, barcode: str) -> int | None:
        try:
            if barcode.startswith("HV"):
                return _LETTERS.unmixed(int(barcode[2:], 36), self._shift) * _SHAPES + _HV
            if barcode.startswith("$B"):
                return _SIX.unmixed(int(barcode[2:]), self._shift) * _SHAPES + _DOLLAR
            if barcode.startswith("W1PD"):
                return _SIX.unmixed(int(barcode[4:10]), self._shift) * _SHAPES + _DASH
            return _EIGHT.unmixed(int(barcode[5:13]), self._shift)
        except ValueError:
            return None


def _letters(number: int) -> str:
    return "".join(_DIGITS[number // 36**place % 36] for place in (3, 2, 1, 0))


def _luhn(digits: str) -> int:
    """The sum of the check that library barcodes carry, for digits before the check digit."""
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value // 10 + value % 10 for value in doubled)


_SUMS = bytes(_luhn(f"{number:04d}") for number in range(10_000))
_PREFIX_SUM = _luhn(_PREFIX)
_CHECK = "0987654321"
