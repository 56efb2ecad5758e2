"""Requests to models: from the bytes of a client to the bytes of a provider and back. Start reading at `exchange`."""
