//! Names that agree: a crate with its folder, a backend with its file, a guest with its list.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use toml::Table;

/// Every name of the repository that does not agree with another.
pub(super) fn problems(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for folder in folders(&root.join("crates"))? {
        let place = root.join("crates").join(&folder);
        let manifest: Table = toml::from_str(&read(&place.join("Cargo.toml"))?)?;
        problems.extend(of_package(&folder, &manifest));
        if place.join("src/backend.rs").is_file() {
            problems.extend(of_backends(&folder, &place.join("src"))?);
        }
    }
    problems.extend(of_guests(root)?);
    Ok(problems)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))
}

/// The names of the folders in a folder, in order.
fn folders(place: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(place).with_context(|| format!("no {}", place.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let names = paths.iter().filter(|path| path.is_dir()).filter_map(|path| path.file_name());
    Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
}

/// The package of a folder has its name behind ours; the program has ours alone.
fn of_package(folder: &str, manifest: &Table) -> Option<String> {
    let name = manifest.get("package")?.get("name")?.as_str()?;
    let wanted = match folder {
        "cli" => "wharf".to_owned(),
        _ => format!("wharf-{folder}"),
    };
    (name != wanted).then(|| format!("crates/{folder}: the package is {name}, not {wanted}"))
}

/// A crate's backends, if that is what `backend/` beside `backend.rs` holds.
fn of_backends(capability: &str, source: &Path) -> Result<Vec<String>> {
    let list = read(&source.join("backend.rs"))?;
    let mut problems = Vec::new();
    if !source.join("backend").is_dir() {
        return Ok(problems);
    }
    for entry in fs::read_dir(source.join("backend"))? {
        let path = entry?.path();
        let (Some(name), true) = (path.file_stem().and_then(|it| it.to_str()), path.is_file())
        else {
            continue;
        };
        let source = read(&path)?;
        // What several of them share has no name of its own and stands in no list.
        if !list.contains(&format!("{name}::")) && !source.contains("const NAME: ") {
            continue;
        }
        let wrong = of_backend(name, &list, &source).into_iter();
        problems.extend(wrong.map(|what| format!("crates/{capability}: backend {name} {what}")));
    }
    Ok(problems)
}

/// File, module, type, feature, name and scheme of one backend.
fn of_backend(name: &str, list: &str, source: &str) -> Vec<String> {
    let wanted = type_name(name);
    let module = format!("mod {name};");
    // What Rust writes with an underscore, everybody else writes with a hyphen.
    let word = name.replace('_', "-");
    let schemes = source.split("SCHEMES").nth(1).and_then(|rest| rest.split(';').next());
    let feature = list.lines().zip(list.lines().skip(1)).find_map(|(above, line)| {
        let declares = line.trim_start().trim_start_matches("pub ") == module;
        above.trim().strip_prefix("#[cfg(feature = \"")?.strip_suffix("\")]").filter(|_| declares)
    });
    let checks = [
        (list.contains(&module), "is not declared in backend.rs".to_owned()),
        (list.contains(&format!("{name}::{wanted}>")), format!("is not listed as {wanted}")),
        (
            source.contains(&format!("const NAME: &'static str = \"{word}\"")),
            "has another NAME than its file".to_owned(),
        ),
        (
            schemes.is_some_and(|list| list.contains(&format!("\"{word}\""))),
            "is chosen by no scheme of its name".to_owned(),
        ),
        (
            feature.is_none_or(|feature| feature == word),
            format!("has the feature {}", feature.unwrap_or_default()),
        ),
    ];
    checks.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what).collect()
}

/// `object_store` is `ObjectStore`.
fn type_name(module: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    };
    module.split('_').map(capital).collect::<Vec<String>>().concat()
}

/// The list that tests are made from has exactly the guests that have a folder, and each has tests.
fn of_guests(root: &Path) -> Result<Vec<String>> {
    let list = read(&root.join("crates/testkit/src/guests.rs"))?;
    let listed = listed(&list, "foreach_guest");
    let mut built = BTreeSet::new();
    for language in ["rust", "c", "python", "js"] {
        built.extend(folders(&root.join("guests").join(language))?);
    }
    let mut problems = Vec::new();
    for folder in folders(&root.join("examples"))? {
        let example = root.join("examples").join(&folder);
        let Some(name) = guest_of(&example)? else { continue };
        if !example.join("Cargo.toml").is_file() {
            built.insert(name);
        } else if !sources(&example.join("src"))?.iter().any(|(_, text)| runs(&name, text)) {
            // The program of the example is what the guest is for.
            problems.push(format!("examples/{folder}: {name} is run by no test of it"));
        }
    }
    let tests = sources(&root.join("crates/cli/tests/integration"))?;
    let untested = listed.iter().filter(|name| !is_tested(name, &tests));
    problems.extend(untested.map(|name| format!("guests: {name} has a name among tests alone")));
    problems.extend(differences(&built, &listed));
    // Which of them are run is known to the compiler, where the list is used.
    let mut filters = BTreeSet::new();
    for language in folders(&root.join("guests/filters"))? {
        if language != "include" {
            filters.extend(folders(&root.join("guests/filters").join(language))?);
        }
    }
    problems.extend(differences(&filters, &self::listed(&list, "foreach_filter")));
    Ok(problems)
}

/// The names that a macro of a list has, as folders have them.
fn listed(list: &str, name: &str) -> BTreeSet<String> {
    let list = list.split_once(&format!("macro_rules! {name} {{")).map_or("", |(_, list)| list);
    let list = list.split("\n}").next().unwrap_or_default();
    let calls = list.lines().filter_map(|line| line.trim().strip_prefix("$each!("));
    let names = calls.filter_map(|rest| rest.strip_suffix(");"));
    names.map(|name| name.replace('_', "-")).collect()
}

/// What is built and not listed, and what is listed and not built.
fn differences(built: &BTreeSet<String>, listed: &BTreeSet<String>) -> Vec<String> {
    let missing = built.difference(listed).map(|name| format!("guests: {name} is run by no test"));
    let gone = listed.difference(built).map(|name| format!("guests: there is no {name}"));
    missing.chain(gone).collect()
}

/// The name of an example's guest.
fn guest_of(example: &Path) -> Result<Option<String>> {
    let manifest = example.join("guest/Cargo.toml");
    if !manifest.is_file() {
        return Ok(None);
    }
    let manifest: Table = toml::from_str(&read(&manifest)?)?;
    let name = manifest.get("package").and_then(|package| package.get("name")?.as_str());
    Ok(name.map(str::to_owned))
}

/// Every file in Rust of a folder and the folders in it: its module's path, and its text.
fn sources(place: &Path) -> Result<Vec<(Vec<String>, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).with_context(|| format!("no {}", place.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_stem().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        if path.is_dir() {
            found.extend(sources(&path)?.into_iter().map(|(mut module, text)| {
                module.insert(0, name.clone());
                (module, text)
            }));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push((vec![name], read(&path)?));
        }
    }
    Ok(found)
}

/// Whether a test of this source finds the guest.
fn runs(guest: &str, source: &str) -> bool {
    let tests = source.split_once(TEST).map_or("", |(_, tests)| tests);
    tests.contains(&format!("testkit::guest(\"{guest}\")"))
}

/// What stands above every test, also those of a runtime.
const TEST: &str = "test]\n";

/// Whether what bears the guest's name is a test or has some: promises, a module, a function. A
/// whole file of tests that happens to be called so says nothing of the guest.
fn is_tested(guest: &str, tests: &[(Vec<String>, String)]) -> bool {
    let name = guest.replace('-', "_");
    let module = format!("mod {name} {{");
    let function = format!("{TEST}pub(crate) fn {name}(");
    tests.iter().any(|(path, text)| {
        let file = path.len() > 1 && path.last() == Some(&name) && text.contains(TEST);
        let promised = text.split("promises!(").skip(1).any(|promises| {
            let promises = promises.split(");").next().unwrap_or_default();
            let guests = promises.split_once("] of").map_or("", |(_, guests)| guests);
            guests.split(',').any(|guest| guest.trim() == name)
        });
        let inside = text
            .split(&module)
            .skip(1)
            .any(|module| module.split("\n}").next().unwrap_or_default().contains(TEST));
        file || promised || inside || text.contains(&function)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "#[cfg(feature = \"redis\")]\npub mod redis;\nbackend::<redis::Redis>(),";
    const SOURCE: &str = "const NAME: &'static str = \"redis\";\n\
                          const SCHEMES: &'static [&'static str] = &[\"redis\", \"rediss\"];";

    fn found(name: &str, list: &str, source: &str) -> Vec<String> {
        of_backend(name, list, source)
    }

    #[test]
    fn a_backend_has_one_name() {
        assert_eq!(found("redis", LIST, SOURCE), Vec::<String>::new());
        assert_eq!(found("redis", &LIST.replace("\"redis", "\"radish"), SOURCE).len(), 1);
        assert_eq!(found("redis", &LIST.replace("Redis", "Radish"), SOURCE).len(), 1);
        assert_eq!(found("redis", LIST, &SOURCE.replace("= \"redis", "= \"radish")).len(), 1);
        assert_eq!(found("redis", LIST, &SOURCE.replace("[\"redis\", ", "[")).len(), 1);
        assert_eq!(found("memory", LIST, SOURCE).len(), 4);
    }

    #[test]
    fn each_macro_of_the_list_has_its_own_names() {
        let list = "macro_rules! one {\n    $each!(a_b);\n}\nmacro_rules! two {\n    $each!(c);\n}";
        assert_eq!(listed(list, "one"), BTreeSet::from(["a-b".to_owned()]));
        assert_eq!(listed(list, "two"), BTreeSet::from(["c".to_owned()]));
        assert!(listed(list, "three").is_empty());
        assert_eq!(differences(&listed(list, "one"), &listed(list, "two")).len(), 2);
    }

    #[test]
    fn a_package_has_the_name_of_its_folder() {
        let manifest = toml::from_str("[package]\nname = \"wharf-lock\"").unwrap();
        assert_eq!(of_package("lock", &manifest), None);
        assert!(of_package("locks", &manifest).is_some());
    }

    #[test]
    fn a_name_among_tests_is_no_test() {
        let tested = |path: &[&str], text: &str| {
            let path = path.iter().map(|name| (*name).to_owned()).collect();
            is_tested("kv-old", &[(path, text.to_owned())])
        };
        assert!(tested(&["keyvalue"], "promises!([\n    a,\n] of kv_new,\n    kv_old);"));
        assert!(tested(&["keyvalue"], "mod kv_old {\n    #[test]\n    fn a() {}\n}"));
        assert!(tested(&["keyvalue"], "#[test]\npub(crate) fn kv_old() {}"));
        assert!(tested(&["keyvalue", "kv_old"], "#[test]\nfn a() {}"));
        assert!(!tested(&["kv_old"], "#[test]\nfn a() {}"));
        assert!(!tested(&["keyvalue"], "promises!([kv_old] of kv_new);"));
        assert!(!tested(&["keyvalue"], "mod kv_old {\n}\n#[test]\nfn a() {}"));
        assert!(!tested(&["keyvalue"], "pub(crate) fn kv_old() {}"));
    }

    #[test]
    fn the_guest_of_a_program_is_found_by_a_test_of_it() {
        let test = "#[tokio::test]\nasync fn a() {\n    testkit::guest(\"visits\");\n}";
        assert!(runs("visits", test) && !runs("other", test));
        assert!(!runs("visits", &test.replace("#[tokio::test]", "")));
    }

    #[test]
    fn types_are_named_like_their_modules() {
        assert_eq!(type_name("object_store"), "ObjectStore");
        assert_eq!(type_name("s3"), "S3");
    }
}
