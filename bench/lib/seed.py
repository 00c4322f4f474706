"""Many releases and revisions in a moment: copies of one real release, written into the database of a stopped server.

The server would need hours for a million revisions. The copies have everything a reader touches (release, revision,
rollout, live deployment); events and steps are not copied.
"""

import sqlite3
import uuid

TABLES = ("release", "revision", "rollout", "live", "bundle")


def columns(db, table):
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != "num"]


def open_db(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    return db


def releases(path, template, count, first=0):
    """Copies the release `template` `count` times, as `bench-000000`, …"""
    db = open_db(path)
    (release_id,) = db.execute("SELECT id FROM release WHERE name = ?", (template,)).fetchone()
    wanted = {}
    for table in TABLES:
        names = columns(db, table)
        if table == "release":
            where, key = "id = ?", release_id
        elif "release_id" in names:
            where, key = "release_id = ?", release_id
        else:
            continue
        rows = db.execute(f"SELECT {', '.join(names)} FROM {table} WHERE {where}", (key,)).fetchall()
        insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        wanted[table] = (names, rows, insert)
    rollout_ids = [row[wanted["rollout"][0].index("id")] for row in wanted["rollout"][1]]
    deployment_ids = [row[wanted["live"][0].index("deployment_id")] for row in wanted["live"][1]]
    for number in range(first, first + count):
        name = f"bench-{number:06d}"
        changes = [(release_id, str(uuid.uuid4())), (template, name)]
        changes += [(old, str(uuid.uuid4())) for old in rollout_ids]
        # Before the name: a deployment's id contains it.
        changes = [(old, f"{old}-{number}") for old in deployment_ids] + changes
        for names, rows, insert in wanted.values():
            db.executemany(insert, [tuple(changed(value, changes) for value in row) for row in rows])
    db.commit()
    db.execute("ANALYZE")
    db.close()


def changed(value, changes):
    if isinstance(value, str):
        for old, new in changes:
            if old in value:
                value = value.replace(old, new)
    return value


def revisions(path, release, count):
    """Gives the release `count` more revisions, each with a rollout, as superseded copies of its newest one."""
    db = open_db(path)
    (release_id, last) = db.execute("SELECT id, last_revision FROM release WHERE name = ?", (release,)).fetchone()
    names = columns(db, "revision")
    row = db.execute(
        f"SELECT {', '.join(names)} FROM revision WHERE release_id = ? ORDER BY number DESC LIMIT 1", (release_id,)
    ).fetchone()
    rollout_names = columns(db, "rollout")
    rollout = db.execute(
        f"SELECT {', '.join(rollout_names)} FROM rollout WHERE release_id = ? ORDER BY num DESC LIMIT 1", (release_id,)
    ).fetchone()

    step = 10_000
    for begin in range(last + 1, last + 1 + count, step):
        numbers = range(begin, min(begin + step, last + 1 + count))
        base = dict(zip(names, row))
        db.executemany(
            f"INSERT INTO revision ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            (tuple({**base, "number": n, "state": "superseded"}.values()) for n in numbers),
        )
        base_rollout = dict(zip(rollout_names, rollout))
        # The plan belongs to the rollout, not to the history; leaving it out keeps the file small.
        base_rollout |= {"plan": None, "plan_index": None}
        db.executemany(
            f"INSERT INTO rollout ({', '.join(rollout_names)}) VALUES ({', '.join('?' * len(rollout_names))})",
            (tuple({**base_rollout, "id": str(uuid.uuid4()), "to_revision": n}.values()) for n in numbers),
        )
    # The one that serves is the newest again.
    db.execute("UPDATE release SET last_revision = ? WHERE id = ?", (last + count, release_id))
    db.commit()
    db.execute("ANALYZE")
    db.close()
