//! Snapshots change whole.

use super::*;

/// S5: a request keeps what it took; the next one sees what is new.
#[test]
fn a_reader_sees_a_put_and_keeps_what_it_already_holds() {
    let slot = Slot::new("one");
    let mut reader = slot.reader();
    let held = reader.load().clone();
    assert_eq!(slot.put(Arc::new("two")).number(), 2);
    assert_eq!((*held.value, held.generation.number()), ("one", 1));
    assert_eq!(
        (*reader.load().value, reader.load().generation.number()),
        ("two", 2)
    );
    assert_eq!(slot.load().generation, reader.load().generation);
}

/// Two writers never give one generation twice, and a reader never goes back.
#[test]
fn generations_grow_under_two_writers() {
    let slot = Slot::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let slot = slot.clone();
                scope.spawn(move || {
                    (0..1_000)
                        .map(|n| slot.put(Arc::new(n)))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let mut reader = slot.reader();
        scope.spawn(move || {
            let mut last = reader.load().generation;
            for _ in 0..10_000 {
                let now = reader.load().generation;
                assert!(now >= last);
                last = now;
            }
        });
        let mut all: Vec<_> = writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 2_000);
    });
    assert_eq!(slot.load().generation.number(), 2_001);
}
