"""Signals and a key's past → evidence of theft.

Promises: the same history gives the same evidence (D2); a past of bounded size that only clean
calls teach, each value at most once a day (D1); every sign has a reason in plain words; a key
without a history is *unknown*, not suspect.
Does not promise: that a thief who looks like the owner in every layer is seen.
Fails how: never raises on what a caller sends; a past that cannot be read begins anew.
"""

from tokenward.detectors.doubts import suspect
from tokenward.detectors.fusion import Opinion, learn, look
from tokenward.detectors.past import Past

__all__ = ["Opinion", "Past", "learn", "look", "suspect"]
