"""Sending and reconciling: the only room that joins the broker and the disk.

Law: no byte leaves without a durable row; no state moves without evidence; a send belongs to the client and not to its
caller. May import: everything below (`_transport`, `_journal`, `_wire`, `_domain`, `errors`).
"""
