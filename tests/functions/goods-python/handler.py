"""What is for sale, and what all of it costs: a function of several modules, a package and a data file."""
import inflection

from .shop import catalogue


def handle(request, context=None):
    """Answers any request, as templates with and without a context ask."""
    goods = catalogue.load()
    names = sorted(inflection.pluralize(name) for name in goods)
    answer = {"goods": names, "total": sum(goods.values())}
    return answer if context is None else {"statusCode": 200, "body": answer}
