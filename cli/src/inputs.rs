//! Files and variables, read once and lifted into typed values.

use std::path::{Path, PathBuf};

use dataplane::{Evaluators, Limits, RulesError};
use policy::custom::Rules;
use policy::document::Binary;
use policy::pattern::Glob;
use policy::{Loaded, Policy, PolicyDocument, Problem, Problems, Routes};

use crate::args::RunArgs;
use crate::print;

/// Why an input cannot be used. The text names file, line, field and what was expected.
pub(crate) enum InputError {
    /// A flag, or a variable a flag needs: exit 2.
    Usage(String),
    /// A file: the start fails.
    File(String),
}

impl InputError {
    fn why(self) -> String {
        match self {
            InputError::Usage(why) | InputError::File(why) => why,
        }
    }
}

/// The policy of a run (POL-9).
pub(crate) fn policy(args: &RunArgs) -> Result<PolicyDocument, InputError> {
    let Some(path) = &args.policy else {
        let sections = match &args.policy_data {
            Some(data) => data_sections(data).map_err(InputError::File)?,
            None => None,
        };
        return Ok(sections.unwrap_or_else(discovered));
    };
    let loaded = load_policy(path).map_err(InputError::File)?;
    for warning in &loaded.warnings {
        print::message(format_args!("warning: {warning}"));
    }
    Ok(loaded.document)
}

/// The files of a run that can be read again, as they were found at the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    source: PolicySource,
    policy: Option<PathBuf>,
    rules: Option<PathBuf>,
    data: Option<PathBuf>,
    routes: Option<PathBuf>,
}

/// Who says what the policy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PolicySource {
    /// Files of this machine.
    #[default]
    Files,
    /// A gateway, and files only until it does (POL-10).
    Gateway,
}

impl Files {
    /// Those that flags, variables or the usual place name.
    pub(crate) fn of(args: &RunArgs) -> Files {
        let usual = || Some(PathBuf::from(DISCOVERED)).filter(|path| path.exists());
        Files {
            source: PolicySource::Files,
            policy: args.policy.clone().or_else(usual),
            rules: args.policy_rules.clone(),
            data: args.policy_data.clone(),
            routes: args.routes.clone(),
        }
    }

    /// Those that are left where a gateway says what the policy is.
    pub(crate) fn without_policy(self) -> Files {
        Files {
            source: PolicySource::Gateway,
            routes: self.routes,
            ..Files::default()
        }
    }

    /// A policy and nothing else.
    #[cfg(test)]
    pub(crate) fn one(policy: PathBuf) -> Files {
        Files {
            policy: Some(policy),
            ..Files::default()
        }
    }

    /// All of them.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let all = [&self.policy, &self.rules, &self.data, &self.routes];
        all.into_iter().flatten().cloned().collect()
    }

    /// The one that says what a policy says.
    pub(crate) fn document(&self) -> Option<&Path> {
        self.policy.as_deref().or(self.data.as_deref())
    }

    /// The routes file.
    pub(crate) fn routes(&self) -> Option<&Path> {
        self.routes.as_deref()
    }
}

/// What files that were read again say.
pub(crate) struct Again {
    /// Absent where a gateway says what the policy is.
    pub(crate) policy: Option<PolicyAgain>,
    /// Absent when there is no file of them.
    pub(crate) routes: Option<Routes>,
}

/// A policy that was read again.
pub(crate) struct PolicyAgain {
    /// As its author wrote it.
    pub(crate) written: PolicyDocument,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) compiled: Policy,
}

/// Reads the files of a running sandbox again. Unlike at the start nothing stands in for a file that is broken.
pub(crate) fn again(args: &RunArgs, files: &Files) -> Result<Again, String> {
    let routes = files.routes().is_some().then(|| routes(args));
    let routes = routes.transpose().map_err(InputError::why);
    let policy = match files.source {
        PolicySource::Files => policy_again(args, files).map(Some),
        PolicySource::Gateway => Ok(None),
    };
    // Both are read before either is given up: all errors are told together.
    match (policy, routes) {
        (Ok(policy), Ok(routes)) => Ok(Again { policy, routes }),
        (Err(why), Ok(_)) | (Ok(_), Err(why)) => Err(why),
        (Err(first), Err(second)) => Err(format!("{first}\n{second}")),
    }
}

fn policy_again(args: &RunArgs, files: &Files) -> Result<PolicyAgain, String> {
    let (written, warnings) = written_again(args, files)?;
    let mut document = written.clone();
    document.complete();
    let rules = rules(args, &document).map_err(InputError::why)?;
    Ok(PolicyAgain {
        written,
        warnings,
        compiled: compile(document, rules),
    })
}

fn written_again(args: &RunArgs, files: &Files) -> Result<(PolicyDocument, Vec<Problem>), String> {
    let said = match (&args.policy, &args.policy_data) {
        (None, Some(data)) => data_sections(data)?,
        (Some(_), _) | (None, None) => None,
    };
    match (said, &files.policy) {
        (None, Some(path)) => load_policy(path).map(|loaded| (loaded.document, loaded.warnings)),
        (said, _) => Ok((
            said.unwrap_or_else(PolicyDocument::restrictive_default),
            Vec::new(),
        )),
    }
}

/// An operator's own rules, looked into, with what they judge by (RGO-6).
pub(crate) fn rules(
    args: &RunArgs,
    document: &PolicyDocument,
) -> Result<Option<Rules>, InputError> {
    let Some(path) = &args.policy_rules else {
        return Ok(None);
    };
    read_rules(path, args.policy_data.as_deref(), document)
        .map(Some)
        .map_err(InputError::File)
}

/// Reads rules and looks into them.
pub(crate) fn read_rules(
    path: &Path,
    data: Option<&Path>,
    document: &PolicyDocument,
) -> Result<Rules, String> {
    check_rules(path, data, document).map_err(|problems| list(&problems))
}

/// Looks into rules that came from elsewhere.
pub(crate) fn check(rules: &Rules) -> Result<(), String> {
    evaluators().check(rules).map_err(|error| match error {
        RulesError::Rules(problem) => problem.to_string(),
        RulesError::Stopped | RulesError::Start(_) => error.to_string(),
    })
}

/// The same, for verbs that look at each finding.
pub(crate) fn check_rules(
    path: &Path,
    data: Option<&Path>,
    document: &PolicyDocument,
) -> Result<Rules, Problems> {
    let file = path.display().to_string();
    let data = match data {
        Some(data) => read_data(data)?,
        None => policy::rego::data(document),
    };
    let text = read_text(path)?;
    let rules = Rules::new(&text, &file, &data).map_err(Problems::from)?;
    evaluators().check(&rules).map_err(|error| match error {
        RulesError::Rules(problem) => Problems::from(problem),
        RulesError::Stopped | RulesError::Start(_) => {
            Problems::whole_file(&file, &error.to_string())
        }
    })?;
    Ok(rules)
}

fn read_text(path: &Path) -> Result<String, Problems> {
    std::fs::read_to_string(path).map_err(|error| {
        let file = path.display().to_string();
        Problems::whole_file(&file, &format!("cannot be read: {error}"))
    })
}

/// What evaluates rules: this binary, executed anew.
pub(crate) fn evaluators() -> Evaluators {
    Evaluators::new(RULES_PROGRAM.into(), &Limits::default())
}

/// Data that says of files, accounts or inference what a policy says is enforced like a policy: rules judge the network
/// alone.
fn data_sections(path: &Path) -> Result<Option<PolicyDocument>, String> {
    let data = read_data(path).map_err(|problems| list(&problems))?;
    let mut sections: serde_json::Map<_, _> =
        ["filesystem_policy", "landlock", "process", "inference"]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), data.get(key)?.clone())))
            .collect();
    if sections.is_empty() {
        return Ok(None);
    }
    sections.insert("version".to_owned(), 1.into());
    // Places in this text are not those of the file, so only the keys are told.
    let text = serde_json::Value::Object(sections).to_string();
    match policy::parse(&text, "") {
        Ok(loaded) => Ok(Some(loaded.document)),
        Err(problems) => Err(problems
            .as_slice()
            .iter()
            .map(|problem| format!("{}: {}: {}", path.display(), problem.path, problem.message))
            .collect::<Vec<_>>()
            .join("\n")),
    }
}

fn read_data(path: &Path) -> Result<serde_json::Value, Problems> {
    policy::custom::data_file(&read_text(path)?, &path.display().to_string())
}

/// The discovered policy, else the restrictive default; one that does not load is never used in part.
fn discovered() -> PolicyDocument {
    let path = Path::new(DISCOVERED);
    if path.exists() {
        match load_policy(path) {
            Ok(loaded) => return loaded.document,
            Err(error) => print::message(format_args!(
                "warning: {error}\nusing the restrictive default instead"
            )),
        }
    }
    PolicyDocument::restrictive_default()
}

/// Reads and checks a policy file.
pub(crate) fn load_policy(path: &Path) -> Result<Loaded, String> {
    read_policy(path).map_err(|problems| list(&problems))
}

/// Reads and checks a policy file, for verbs that look at each finding.
pub(crate) fn read_policy(path: &Path) -> Result<Loaded, Problems> {
    policy::parse(&read_text(path)?, &path.display().to_string())
}

/// The inference routes of a run; none without a flag.
pub(crate) fn routes(args: &RunArgs) -> Result<Routes, InputError> {
    let env = |name: &str| std::env::var(name).ok();
    if let Some(model) = &args.model {
        return Routes::from_model_flag(model, &env)
            .map_err(|error| InputError::Usage(error.to_string()));
    }
    let Some(path) = &args.routes else {
        return Ok(Routes::default());
    };
    let text = read(path).map_err(InputError::File)?;
    Routes::parse(&text, &path.display().to_string(), &env)
        .map_err(|problems| InputError::File(list(&problems)))
}

/// The document with the targets of its symbolic links written out, as `compile` sees it.
pub(crate) fn with_links(mut document: PolicyDocument) -> PolicyDocument {
    for policy in document.network_policies.values_mut() {
        add_targets(&mut policy.binaries);
    }
    if let Some(binaries) = document
        .inference
        .as_mut()
        .and_then(|section| section.binaries.as_mut())
    {
        add_targets(binaries);
    }
    document
}

fn add_targets(binaries: &mut Vec<Binary>) {
    let target = |binary: &Binary| {
        let target =
            link::symlink_target(binary.path.as_str()).filter(|_| binary.path.is_literal())?;
        let path = Glob::new(&String::from_utf8(target.into()).ok()?);
        // A star in a file's name cannot be written as a pattern; nobody is told of such a target.
        path.is_literal().then_some(Binary { path })
    };
    let targets: Vec<Binary> = binaries.iter().filter_map(target).collect();
    binaries.extend(targets);
}

/// Compiles; an exact binary pattern that is a symbolic link also stands for its target (IDN-8). Where there are rules,
/// they judge the network.
pub(crate) fn compile(document: PolicyDocument, rules: Option<Rules>) -> Policy {
    let compiled = Policy::compile_with_links(document, &link::symlink_target);
    match rules {
        Some(rules) => compiled.with_rules(rules),
        None => compiled,
    }
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn list(problems: &Problems) -> String {
    problems.to_string()
}

/// The running binary, which has the verb that evaluates rules.
pub(crate) const RULES_PROGRAM: &str = "/proc/self/exe";

const DISCOVERED: &str = "/etc/ringfence/policy.yaml";
