"""Binding: has the caller shown that it holds the private key?

Promises: a proof is good for one request, at one address, with one credential, within a minute
(DPoP, RFC 9449), and for one body where it covers the body (RFC 9530); a certificate is the one a
credential is bound to (RFC 8705). Nothing of a proof is believed before its signature is good.
Does not promise: that the body is what the caller meant where the proof does not cover it; that a
machine which holds the private key is in its owner's hands; that a proof was not used before: the
replay store says that, asked last.
Fails how: an expected "no" is a `Refusal` (`proof:…`); a replay store that cannot answer raises
`StoreError`, and the call is refused with 503, never 401, and never passes.
"""
