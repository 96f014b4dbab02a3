"""The journal: every run's events, in one database that survives any process.

`SqlJournal` is the adapter of `nbflow.ports.Journal`, on an SQLite file or a
PostgreSQL server. One folder, and a file for each concept:

- ``sql`` says what is done in each transaction; ``database`` what it asks of a database for
  that, and ``sqlite`` and ``postgres`` are the two that there are;
- ``envelope`` turns a record into a row and back, ``codec`` an event into its body, ``versions``
  an older body into today's; ``seals`` are the rows' checksums;
- ``schema`` holds the tables and their version, ``migrations`` the ways from older ones;
- ``refusals`` says in words why a journal refuses a driver; ``verifying`` finds all damage;
- ``locations`` reads addresses; ``filesystems`` and ``locks`` ask the system what SQLite cannot.

What a crash can leave behind
-----------------------------
An append is one transaction: it advances the run's `last_seq`, asserting the driver's
epoch in the same statement, and inserts the events. Killed before the commit, the
process leaves nothing (SQLite discards the torn tail of its WAL by checksum); killed after it,
everything. So a reader finds seq 1 to `last_seq` without a gap, each record with its
checksum. Anything else is damage, and an error that names the run and the place: never a silent
cut, and never wrong data.
"""

from nbflow.journal.envelope import Overflow
from nbflow.journal.sql import SqlJournal

__all__ = ["Overflow", "SqlJournal"]
