"""The OpenAI protocol as a client speaks it to us: which endpoints there are, and how we say that something failed."""
