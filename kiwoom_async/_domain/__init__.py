"""The pure heart: orders, intents, states, matching, proofs of absence, budgets.

Law: nothing here waits, reads a clock, draws a random number or knows how Kiwoom spells things. `now` is an argument.
May import: `errors`. Read `intents`, `matching` and then `_execution.dispatcher` to understand the product.
"""
