"""Adds up what all of it costs that is for sale here."""


def total(goods):
    """Each of them once."""
    return sum(goods.values())
