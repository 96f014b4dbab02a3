"""What a worker keeps for drivers, and what it does not."""

import asyncio

from support.outside_desk import OutsideDesk

from nbflow.artifacts import FileStore
from nbflow.cluster.keeping import STORES, Latest, Stores


def one():
    return 1


def test_a_store_that_was_not_there_is_seen_when_it_is(tmp_path) -> None:
    async def main() -> None:
        async with OutsideDesk.opened(tmp_path, workers=0) as it:
            await it.add_worker()
            task = it.task("n", one)
            folder = tmp_path / "store"
            folder.rename(tmp_path / "not mounted yet")
            assert not (await it.cluster.survey(it.store.ref)).shares_store
            (tmp_path / "not mounted yet").rename(folder)
            await it.cluster.submit([task])
            await it.until(lambda: bool(it.ended()))
            assert it.ended() == {"n": "succeeded"}
            assert (await it.cluster.survey(it.store.ref)).shares_store

    asyncio.run(main())


def test_a_store_is_looked_for_again_only_where_it_matters(tmp_path) -> None:
    store = FileStore.open(tmp_path / "store")
    (tmp_path / "store").rename(tmp_path / "away")
    stores = Stores()
    assert stores.find(store.ref) is None
    (tmp_path / "away").rename(tmp_path / "store")
    assert stores.find(store.ref) is None, (
        "each look may be a message to the other side of the world"
    )
    found = stores.find(store.ref, look_again=True)
    assert found is not None
    assert stores.find(store.ref) is stores.find(store.ref, look_again=True) is found


def test_only_so_many_stores_are_kept(tmp_path) -> None:
    stores = Stores()
    refs = [FileStore.open(tmp_path / str(number)).ref for number in range(STORES + 1)]
    kept = [stores.find(ref) for ref in refs]
    assert stores.find(refs[-1]) is kept[-1]
    assert stores.find(refs[0]) is not kept[0]


def test_only_the_latest_are_kept() -> None:
    latest = Latest(2)
    for member in "abac":
        latest.add(member)
    assert [member in latest for member in "abc"] == [True, False, True]
    assert len(latest) == 2
