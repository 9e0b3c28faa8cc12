"""The edge: what comes in by HTTP, and the only client that goes out.

Promises: routes are denied unless declared; routing reads the raw path of the ASGI scope, never
the Host header or a forwarded one; every body, header and wait has a limit.
Does not promise: TLS (put it in front, or see the deployment guide) and any rule of the guard.
Fails how: what is not HTTP is 400 and closed; everything else is a refusal in the dialect's words.
"""
