"""The layers around every route: plain functions from one application to another, put together in `server/app.py`."""
