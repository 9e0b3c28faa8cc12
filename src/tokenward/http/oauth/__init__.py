"""The token service: short-lived tokens for keys, each bound to its holder (OAuth 2.0).

RFC 6749 with the practice of RFC 9700; DPoP (RFC 9449) or mutual TLS (RFC 8705) in every grant, so
that no token of this guard is a bearer's. No password, implicit, code or device flow is offered.
"""
