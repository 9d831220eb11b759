def handle(req):
    """Answers a request; `req` is its body."""
    return req
