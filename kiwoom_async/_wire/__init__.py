"""Kiwoom's JSON and our domain, translated both ways, purely.

Law: parse or raise; a code, a field name or a Korean text of Kiwoom appears here and in no other room of the client.
May import: `_domain`, `errors`.
"""
