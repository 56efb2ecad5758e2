"""Upstream servers for tests: real sockets on loopback, ports chosen by the system."""
