"""Keys and the tokens that stand for them: who is calling, and what may this key do?

Promises: a key is shown once and stored as HMAC-SHA-256 under a server pepper; comparison is
constant-time; unknown, malformed and wrong-secret keys look alike to the caller; a transition
that makes no sense (unfreezing a revoked key) is a refusal, never a silent success; a token is
never worth more than its key is now, and a refresh token that two have used is worth nothing.
Does not promise: durability or speed of look-up; the store does (`interfaces.py`).
Fails how: an expected "no" is a `Refusal` (`key:…`); a store that cannot answer raises
`StoreError` and the call is refused with 503, never 401.
"""
