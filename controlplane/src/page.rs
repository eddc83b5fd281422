//! How much of a list an answer holds (PRV-12).
//!
//! Apart from the lists because they all count alike.

/// The items from `offset` on: a limit of 0 is 100, and more than 1,000 is 1,000.
pub(crate) fn page<T>(items: impl IntoIterator<Item = T>, limit: u32, offset: u32) -> Vec<T> {
    let limit = match limit {
        0 => ITEMS_DEFAULT,
        limit => limit.min(ITEMS_MAX),
    };
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let items = items.into_iter().skip(count(offset));
    items.take(count(limit)).collect()
}

const ITEMS_DEFAULT: u32 = 100;
const ITEMS_MAX: u32 = 1_000;

#[cfg(test)]
mod tests {
    /// PV-11
    #[test]
    fn a_page_has_a_hundred_items_and_never_more_than_a_thousand() {
        for (limit, expected) in [
            (0, 100),
            (7, 7),
            (1_000, 1_000),
            (1_001, 1_000),
            (u32::MAX, 1_000),
        ] {
            assert_eq!(super::page(0..2_000, limit, 0).len(), expected, "{limit}");
        }
        assert_eq!(super::page(0..10, 2, 8), [8, 9]);
        assert_eq!(super::page(0..10, 0, u32::MAX), [0; 0]);
    }
}
