use std::time::SystemTime;

use super::*;

fn run<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .enable_timer()
        .build()
        .unwrap();
    runtime.block_on(work)
}

fn leaves(max: usize) -> Rc<Leaves> {
    let authority = Authority::make(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 31));
    Leaves::new(
        Some(Arc::new(authority.unwrap())),
        Offload::start(2).unwrap(),
        max,
    )
}

fn host(text: &str) -> Host {
    Host::parse(text.as_bytes()).unwrap()
}

/// TLS-3, TR-030: a name is minted once, however many ask at the same time.
#[test]
fn concurrent_first_uses_of_a_name_share_one_leaf() {
    run(async {
        let leaves = leaves(8);
        let name = host("api.test");
        let (one, other) = (leaves.of(&name), leaves.of(&name));
        let (one, other) = crate::deadline::join(std::pin::pin!(one), std::pin::pin!(other)).await;
        assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
        let again = leaves.of(&name).await.unwrap();
        assert!(Arc::ptr_eq(&again, &leaves.of(&name).await.unwrap()));
        assert!(leaves.flights.borrow().is_empty());
    });
}

/// TLS-3, TR-030: one goes at a time, and it is the one that was not used for longest.
#[test]
fn the_least_recently_used_leaf_goes_when_there_are_too_many() {
    run(async {
        let leaves = leaves(2);
        let first = leaves.of(&host("a.test")).await.unwrap();
        leaves.of(&host("b.test")).await.unwrap();
        leaves.of(&host("a.test")).await.unwrap();
        leaves.of(&host("c.test")).await.unwrap();
        assert_eq!(leaves.kept.borrow().len(), 2);
        assert!(Arc::ptr_eq(
            &first,
            &leaves.of(&host("a.test")).await.unwrap()
        ));
        assert!(leaves.find(&host("b.test")).is_none());
    });
}

/// TLS-1: without an authority there is nothing to wait for.
#[test]
fn without_an_authority_there_is_no_leaf() {
    run(async {
        let leaves = Leaves::new(None, Offload::start(1).unwrap(), 2);
        assert!(leaves.of(&host("a.test")).await.is_none());
    });
}
