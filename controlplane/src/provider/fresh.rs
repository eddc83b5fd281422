//! What a new provider is given: an id, and a name where the operator chose none (PRV-3).

/// Randomness, drawn outside: a change may be worked out more than once and must come to the same.
pub struct Fresh {
    id: String,
    number: u64,
}

impl Fresh {
    /// What follows from random bytes.
    pub fn of(random: [u8; 24]) -> Fresh {
        let (id, number) = random.split_at(16);
        let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let number = number
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        Fresh {
            id: format!("prv-{digits}"),
            number,
        }
    }

    /// The id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Six lower-case letters that nobody has; the next ones in order where chance gave some that somebody has.
    pub(super) fn name(&self, is_taken: impl Fn(&str) -> bool) -> String {
        let mut number = self.number % NAMES;
        loop {
            let name = letters(number);
            // Bounded: there are fewer providers than names.
            if !is_taken(&name) {
                return name;
            }
            number = (number + 1) % NAMES;
        }
    }
}

fn letters(number: u64) -> String {
    (0..LETTERS)
        .scan(number, |rest, _| {
            let letter = b'a' + u8::try_from(*rest % 26).unwrap_or_default();
            *rest /= 26;
            Some(char::from(letter))
        })
        .collect()
}

const LETTERS: u32 = 6;

const NAMES: u64 = 26_u64.pow(LETTERS);
