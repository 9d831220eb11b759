"""Reads the goods from the data file beside this module."""
import json
import pathlib


def load():
    """The goods with their prices."""
    return json.loads((pathlib.Path(__file__).parent / "goods.json").read_text())
