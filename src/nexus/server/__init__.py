"""Bytes in, bytes out: listeners, routes and the layers around them. The only room that knows ASGI."""
