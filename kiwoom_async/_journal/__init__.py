"""Intents, attempts and evidence, durable in one SQLite file.

Law: a row is committed before the first byte leaves; history is only ever appended; a state moves by the table of
`_domain.states` and by nothing else. May import: `_domain`, `errors`; it does not know that Kiwoom has a network.
"""
