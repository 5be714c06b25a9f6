"""Numbers, amounts and times as people read them."""


def counted(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def money(cents: int) -> str:
    """Write an amount."""
    return f"{'-' * (cents < 0)}${abs(cents) / 100:,.2f}"


def duration(seconds: float) -> str:
    """Write a time."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
