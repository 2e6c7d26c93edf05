"""The console script `kiwoom-async`: the demonstration, the local broker, a look into a journal.

Law: it prints and parses arguments; what it shows is computed elsewhere. May import: everything public, `_audit`, and
the simulator.
"""
