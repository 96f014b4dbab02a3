"""The journal: every run's events, in one SQLite file that survives any process.

`SqlJournal` is the adapter of `nbflow.ports.Journal`. One folder, four
concepts: `codec` turns events into bytes and back, `schema` holds the tables
and their version, `sqlite` all that is SQLite's own (locks, WAL, what its errors
mean), `refusals` says in words why a journal refuses a driver.

What a crash can leave behind
-----------------------------
An append is one transaction: it advances the run's `last_seq`, asserting the driver's
epoch in the same statement, and inserts the events. Killed before the commit, the
process leaves nothing (SQLite discards the torn tail of its WAL by checksum); killed after it,
everything. So a reader finds seq 1 to `last_seq` without a gap. Anything else
is damage, and an error that names the run and the place: never a silent cut.
"""

from nbflow.journal.sql import SqlJournal

__all__ = ["SqlJournal"]
