"""The composition root: settings in, a wired guard out. The only package that imports everything.

`house` wires the guard, `stores` opens what it keeps, `tending` is what runs beside the requests,
`serving` is the process, `restoring` accepts a backup.
"""

from tokenward.app.house import DIALECTS, House
from tokenward.app.restoring import restore
from tokenward.app.serving import serve
from tokenward.app.stores import open_office, open_store

__all__ = ["DIALECTS", "House", "open_office", "open_store", "restore", "serve"]
