"""Who may come in, and who it is: keys, tokens, identities. Knows no HTTP but the names of headers.

An issuer's keys (`jwks`) verify tokens (`jwt`); claims or headers name the client (`client`); `metadata` tells a client whom to
ask for a token.
"""
