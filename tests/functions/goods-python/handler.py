"""What is for sale, and what all of it costs: a function of several modules and a data file."""
from .shop import catalogue


def handle(request, context=None):
    """Answers any request, as templates with and without a context ask."""
    goods = catalogue.load()
    answer = {"goods": sorted(goods), "total": sum(goods.values())}
    return answer if context is None else {"statusCode": 200, "body": answer}
