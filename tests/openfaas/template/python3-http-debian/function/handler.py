def handle(event, context):
    """Answers a request: a status code, a body, and headers where some are wanted."""
    return {"statusCode": 200, "body": event.body}
