//! What is kept, for how long, and what crosses to the process of the rules.

use policy::custom::Ruling;

use super::cache::Cache;
use super::frame;
use super::launch::Bounds;

fn ruling() -> Ruling {
    Ruling::read(br#"{"network_action":"deny"}"#)
}

fn question(number: u32) -> Box<[u8]> {
    number.to_le_bytes().into()
}

/// RGO-6
#[test]
fn what_is_asked_again_in_time_stays_and_the_rest_is_forgotten() {
    let mut cache = Cache::new(64 * 1024);
    cache.put(question(0), ruling());
    for number in 1..10_000 {
        cache.put(question(number), ruling());
        assert!(cache.get(&question(0)).is_some(), "{number}");
    }
    assert!(cache.get(&question(9_999)).is_some());
    assert!(cache.get(&question(1)).is_none());
    assert!(cache.len() <= 64, "{}", cache.len());
}

/// LIM-2
#[test]
fn a_question_as_large_as_half_the_cache_is_not_kept() {
    let mut cache = Cache::new(64 * 1024);
    let large = vec![7; 40 * 1024].into_boxed_slice();
    cache.put(large.clone(), ruling());
    assert!(cache.get(&large).is_none());
    assert_eq!(cache.len(), 0);
}

/// RGO-6: every byte of the question counts.
#[test]
fn an_answer_is_found_by_the_whole_question_alone() {
    let mut cache = Cache::new(64 * 1024);
    cache.put(b"question".as_slice().into(), ruling());
    for other in [&b"questio"[..], b"questions", b"Question", b""] {
        assert!(cache.get(other).is_none());
    }
}

/// LIM-2
#[test]
fn no_length_is_believed_beyond_its_bound() {
    assert!(frame::len(u32::MAX.to_le_bytes()).is_err());
    assert!(frame::head(frame::FRAME_BYTES_MAX + 1).is_err());
    let mut bytes = Vec::new();
    frame::write(&mut bytes, &[b"a", b"", b"bc"]).unwrap();
    assert_eq!(frame::read(&mut &bytes[..]).unwrap(), Some(b"abc".to_vec()));
    assert_eq!(frame::read(&mut &bytes[..0]).unwrap(), None);
    assert!(frame::read(&mut &bytes[..5]).is_err());
}

#[test]
fn bounds_reach_the_process_as_they_were_set() {
    let bounds = Bounds {
        cpu: std::time::Duration::from_micros(1_500),
        wall: std::time::Duration::from_millis(100),
        memory_bytes: 33_554_432,
    };
    let args = bounds.to_args();
    assert_eq!(Bounds::from_args(args.into_iter()), Some(bounds));
    assert_eq!(Bounds::from_args(["1".to_owned()].into_iter()), None);
}
