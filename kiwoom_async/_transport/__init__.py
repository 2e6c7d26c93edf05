"""I/O with Kiwoom: one request, one exchange; tokens; the wait for a rate-limit slot.

Law: one call is one request on the wire. Nothing here retries, follows a redirect or replays, and whatever
breaks is reported together with what is known about delivery, by a positive mark and never by the class of an
exception. May import: `_wire`, `_domain`, `errors`. Blind to `_journal`: what must be durable is made durable
by `_execution`, which hands down a guard that runs in the last moment before the first byte.
"""
