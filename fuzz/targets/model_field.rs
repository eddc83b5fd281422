//! The model scanner against another JSON reader: the same bodies are accepted, and after the splice that reader finds
//! our model once and everything else unchanged.
#![no_main]

use std::fmt;

use libfuzzer_sys::fuzz_target;
use ringfence_wire::{ModelError, ModelField, ModelScanner, json_string};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

fuzz_target!(|data: &[u8]| {
    let whole = scan(&[data]);
    let single: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(scan(&single), whole);
    let cut = data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (data.len() + 1);
    assert_eq!(scan(&[&data[..cut], &data[cut..]]), whole);

    let text = std::str::from_utf8(data).ok();
    let readable = text.filter(|text| is_object(text));
    match whole {
        Ok(field) => check_splice(&field, readable.expect("the other reader accepts it")),
        Err(ModelError::TooDeep | ModelError::Ambiguous) => {}
        Err(error) => assert!(readable.is_none(), "{error}"),
    }
});

fn scan(pieces: &[&[u8]]) -> Result<ModelField, ModelError> {
    let mut scanner = ModelScanner::new();
    pieces.iter().try_for_each(|piece| scanner.push(piece))?;
    scanner.finish()
}

fn is_object(text: &str) -> bool {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    let is_json = IgnoredAny::deserialize(&mut reader).is_ok() && reader.end().is_ok();
    is_json
        && text
            .trim_start_matches([' ', '\t', '\n', '\r'])
            .starts_with('{')
}

fn check_splice(field: &ModelField, body: &str) {
    let mut literal = Vec::new();
    json_string("a\"model\\", &mut literal);
    let spliced = field
        .splice(body.as_bytes(), &literal)
        .expect("it was scanned whole")
        .concat();
    let spliced = String::from_utf8(spliced).expect("pieces of text make text");
    // Why: a lone surrogate in a name is JSON to us and unreadable to the other reader.
    let (Some(before), Some(after)) = (members(body), members(&spliced)) else {
        return;
    };
    let ours = std::str::from_utf8(&literal).expect("a literal is text");
    let named = |all: &[Member<'_>]| {
        all.iter()
            .filter(|member| member.name.eq_ignore_ascii_case("model"))
            .count()
    };
    assert_eq!(named(&after), 1);
    assert!(
        after
            .iter()
            .any(|member| member.name == "model" && member.value.get() == ours)
    );
    let others = |all: Vec<Member<'_>>| -> Vec<(String, String)> {
        let kept = all.into_iter().filter(|member| member.name != "model");
        kept.map(|member| (member.name, member.value.get().to_owned()))
            .collect()
    };
    let asked = before
        .iter()
        .find(|member| member.name == "model")
        .and_then(|member| {
            serde_json::from_str::<String>(member.value.get())
                .ok()
                .filter(|asked| asked.len() <= 1_024)
        });
    assert_eq!(field.asked(), asked.as_deref());
    assert_eq!(others(before), others(after));
}

struct Member<'a> {
    name: String,
    value: &'a RawValue,
}

struct Members<'a>(Vec<Member<'a>>);

fn members(text: &str) -> Option<Vec<Member<'_>>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    Members::deserialize(&mut reader)
        .ok()
        .map(|members| members.0)
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry()? {
            members.push(Member { name, value });
        }
        Ok(Members(members))
    }
}
