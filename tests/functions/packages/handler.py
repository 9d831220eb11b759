"""A function of several modules, with a data file, and slow to import."""
import time

from .shop import catalogue
from .shop.prices import total

# Stands for the loading of a model.
time.sleep(1)


def handle(req):
    """Answers with what is for sale and what all of it costs."""
    goods = catalogue.load()
    return {"goods": sorted(goods), "total": total.of(goods)}
