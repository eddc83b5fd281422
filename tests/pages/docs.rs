//! The policy reference and the cookbook are true: every field the parser knows is described, every
//! block of YAML loads or fails with the text shown, every recipe passes its own table.

use std::path::{Path, PathBuf};

use harness::binary;
use policy::{Problem, Routes, cases, lint};

fn docs() -> PathBuf {
    binary::workspace().join("docs")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fenced blocks with their language.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (None, None) => {}
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    blocks
}

/// Every name that the parser lists where it meets a key it does not know.
fn known_fields() -> Vec<String> {
    let text = "version: 1
x: 1
filesystem_policy: {x: 1}
landlock: {x: 1}
process: {x: 1}
network_policies:
  p:
    x: 1
    endpoints:
      - {x: 1, host: a.test, port: 1, protocol: rest, rules: [{x: 1, allow: {x: 1}}], deny_rules: [{x: 1}]}
    binaries: [{x: 1, path: /x}]
inference: {x: 1}
";
    let problems = policy::parse(text, "p").unwrap_err();
    let known = problems.as_slice().iter().filter_map(|problem| {
        let (_, names) = problem.message.split_once("known here: ")?;
        Some(names.split(", ").map(str::to_owned).collect::<Vec<_>>())
    });
    let mut fields: Vec<String> = known.flatten().collect();
    fields.sort();
    fields.dedup();
    fields
}

/// POL-1
#[test]
fn every_field_the_parser_knows_is_in_the_reference_with_an_example() {
    let text = read(&docs().join("policy.md"));
    let fields = known_fields();
    assert!(fields.len() >= 29, "{fields:?}");
    let examples: String = blocks(&text)
        .into_iter()
        .filter(|(language, block)| language == "yaml" && policy::parse(&whole(block), "p").is_ok())
        .map(|(_, block)| block)
        .collect();
    for field in fields {
        let row = [
            format!("| `{field}` |"),
            format!("`{field}` |"),
            format!("`rules` | list of `{{{field}: rule}}`"),
            format!("[].{field}` |"),
        ];
        assert!(
            row.iter().any(|row| text.contains(row)),
            "no row describes `{field}`"
        );
        assert!(
            examples.contains(&format!("{field}:")),
            "no example shows `{field}`"
        );
    }
}

/// Examples of single sections leave the version out.
fn whole(block: &str) -> String {
    if block.contains("version:") {
        return block.to_owned();
    }
    format!("version: 1\n{block}")
}

fn shown(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// POL-8: a block of YAML loads, or the block of text behind it is what the load says.
#[test]
fn every_block_of_yaml_loads_or_fails_with_the_text_shown() {
    let cookbook = std::fs::read_dir(docs().join("cookbook")).unwrap();
    let mut pages: Vec<PathBuf> = cookbook
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(docs().join("policy.md"));
    let (mut loaded, mut failed) = (0, 0);
    for page in pages {
        let blocks = blocks(&read(&page));
        for (index, (language, block)) in blocks.iter().enumerate() {
            if language != "yaml" {
                continue;
            }
            let behind = blocks
                .get(index + 1)
                .filter(|(language, _)| language == "text");
            let at = format!("{}: {block}", page.display());
            if block.starts_with("routes:") {
                assert!(
                    Routes::parse(block, "routes.yaml", &|_| None).is_ok(),
                    "{at}"
                );
            } else if block.starts_with("policy:") {
                assert!(cases::parse(block, "cases.yaml").is_ok(), "{at}");
            } else if let Some((_, text)) = behind {
                let problems = policy::parse(block, "policy.yaml").expect_err(&at);
                assert_eq!(shown(problems.as_slice()), *text, "{at}");
                failed += 1;
            } else if let Err(problems) = policy::parse(&whole(block), "policy.yaml") {
                panic!("{at}\n{problems}");
            } else {
                loaded += 1;
            }
        }
    }
    assert!(
        loaded >= 12 && failed >= 4,
        "{loaded} loaded, {failed} failed"
    );
}

/// The issue: ten policies that real users need, each with its table.
#[test]
fn every_recipe_loads_without_a_warning_and_passes_its_table() {
    let cookbook = docs().join("cookbook");
    let index = read(&cookbook.join("README.md"));
    let mut recipes = 0;
    for entry in std::fs::read_dir(&cookbook).unwrap() {
        let table = entry.unwrap().path();
        let name = table.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(recipe) = name.strip_suffix(".cases.yaml") else {
            continue;
        };
        recipes += 1;
        let file = cookbook.join(format!("{recipe}.yaml"));
        let text = read(&file);
        let loaded = policy::parse(&text, recipe).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(shown(&lint::lint(&loaded)), "", "{recipe}");
        let table =
            cases::parse(&read(&table), &name).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(cookbook.join(&table.policy), file);
        for ran in cases::run(&loaded, &table.cases).unwrap() {
            assert!(ran.ok, "{name}:{}: {}\n{}", ran.line, ran.name, ran.got);
        }
        let page = read(&cookbook.join(format!("{recipe}.md")));
        assert!(page.contains(&text), "{recipe}.md shows another policy");
        assert!(
            page.contains("**When:**") && page.contains("does not protect against"),
            "{recipe}"
        );
        assert!(
            index.contains(&format!("[{recipe}]({recipe}.md)")),
            "{recipe} is not in the index"
        );
    }
    assert_eq!(recipes, 10);
}
