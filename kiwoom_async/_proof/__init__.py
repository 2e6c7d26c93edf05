"""Proof: whole trading days replayed from a seed, on virtual time, with every fault at once.

The real client, its real journal (SQLite), reconciler, follower and feed run in one process against the simulator;
several of them at once, as processes that share one file and are killed, frozen and started anew. Nothing in here knows
how the client works: what it tells its callers is held against the broker's own book.

Its law: one seed decides everything (the plan of the day, every latency, fault and death), so that a day that fails
replays exactly. Nothing may ask for the real time or for real chance.

May import: the client, the simulator, `_audit`. Read `day.py` (what happens), `virtual_loop.py` and `processes.py` (on
what), `run.py` (how), `campaign.py` (many days).
"""
