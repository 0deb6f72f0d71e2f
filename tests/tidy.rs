//! The invariants of the design that a text search can check.
//!
//! Comments and test modules are left out of the search where a rule is about what runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of the library, by their path below `pool/src`.
fn sources() -> Vec<(String, String)> {
    let root = repository().join("pool/src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut sources: Vec<_> = files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("it was found below").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a source file is readable text");
            (name, text)
        })
        .collect();
    sources.sort();
    assert!(sources.len() > 30, "the sources are found where they are expected");
    sources
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository").to_owned()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder is readable") {
        let path = entry.expect("its entries are, too").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The lines that run in the library: no comments, nothing from the first test module on.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end =
        text.find("#[cfg(test)]\nmod ").or_else(|| text.find("#[cfg(test)]\n#[path")).unwrap_or(text.len());
    text[..end].lines().enumerate().map(|(number, line)| (number + 1, line)).filter_map(|(number, line)| {
        let line = line.split("//").next().unwrap_or_default();
        (!line.trim().is_empty()).then_some((number, line))
    })
}

fn is_test_file(name: &str) -> bool {
    let files = ["driver/tests.rs", "transport/in_memory.rs", "transport/fuzz.rs"];
    files.contains(&name) || name.ends_with("_tests.rs") || name.starts_with("fuzz/")
}

/// Places outside `allowed` whose code contains one of `words`.
fn outside(allowed: &[&str], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources() {
        if is_test_file(&name) || allowed.iter().any(|allowed| name.starts_with(allowed)) {
            continue;
        }
        for (number, line) in code(&text) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                found.push(format!("{name}:{number}: {word}"));
            }
        }
    }
    found
}

#[test]
fn nothing_on_the_byte_side_is_generic_over_tasks() {
    let typed = [
        "job/",
        "options/",
        "pool.rs",
        "pool/",
        "builder/",
        "task.rs",
        "crossing.rs",
        "lib.rs",
        "private.rs",
    ];
    assert_eq!(outside(&typed, &["T: Task", "impl Task ", "Task>::", "crate::task"]), [""; 0]);
}

#[test]
fn each_foreign_interface_has_one_place() {
    assert_eq!(outside(&["transport/"], &["ipc_channel"]), [""; 0]);
    assert_eq!(outside(&["codec.rs"], &["postcard::", "use postcard"]), [""; 0]);
    assert_eq!(outside(&["sys/"], &["libc::", "rustix::"]), [""; 0]);
}

#[test]
fn only_start_and_the_zygote_make_processes() {
    let makes = ["Command::new", "process::fork(", "fork_sibling(", "own_program("];
    assert_eq!(outside(&["start/", "worker/zygote.rs", "sys/process.rs", "sys/execute.rs"], &makes), [""; 0]);
}

#[test]
fn only_the_supervisor_and_start_wait_for_or_kill_processes() {
    let ends = [".collect_within(", "process.kill()", "process.terminate()"];
    assert_eq!(outside(&["start/", "supervisor/", "sys/process.rs"], &ends), [""; 0]);
}

#[test]
fn parent_and_worker_do_not_import_each_other() {
    for (name, text) in sources() {
        let parent = ["job/", "driver/", "supervisor/", "start/", "pool.rs", "pool/", "options/"];
        for (number, line) in code(&text) {
            if parent.iter().any(|parent| name.starts_with(parent)) {
                assert!(!line.contains("crate::worker"), "{name}:{number} imports the worker");
            }
            if name.starts_with("worker/") {
                for parent in ["job", "driver", "supervisor", "start", "pool", "options", "builder"] {
                    assert!(
                        !line.contains(&format!("crate::{parent}")),
                        "{name}:{number} imports the parent's side"
                    );
                }
            }
        }
    }
}

/// The ranks of the design; a module imports only from its own rank and below.
const RANKS: [(&str, u32); 25] = [
    ("lib", 9),
    ("private", 9),
    ("builder", 8),
    ("pool", 7),
    ("options", 7),
    ("driver", 6),
    ("supervisor", 5),
    ("job", 5),
    ("start", 4),
    ("worker", 4),
    ("transport", 3),
    ("registry", 3),
    ("handshake", 3),
    ("conditions", 3),
    ("task", 2),
    ("body", 2),
    ("crossing", 2),
    ("share", 2),
    ("frame", 2),
    ("sys", 1),
    ("error", 1),
    ("codec", 1),
    ("id", 0),
    ("exit", 0),
    ("payload", 0),
];

fn rank(module: &str) -> u32 {
    let found = RANKS.iter().find(|(name, _)| *name == module);
    found
        .unwrap_or_else(|| panic!("module `{module}` has no rank; give it one here and in ARCHITECTURE.md"))
        .1
}

/// What a file imports of this crate, by top module.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in code(text) {
        for (at, _) in line.match_indices("crate::") {
            let name: String =
                line[at + 7..].chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
            // Re-exports at the top are for documentation links.
            if name.chars().next().is_some_and(char::is_lowercase) {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn imports_go_down_and_never_in_a_circle() {
    let mut edges = BTreeSet::new();
    for (name, text) in sources() {
        if is_test_file(&name) || name == "lib.rs" {
            continue;
        }
        let module = name.split(['/', '.']).next().expect("a name has a first part").to_owned();
        for import in imports(&text) {
            if import != module {
                assert!(rank(&import) <= rank(&module), "{name} imports `{import}`, which is above it");
                edges.insert((module.clone(), import));
            }
        }
    }
    for (from, to) in &edges {
        assert!(!edges.contains(&(to.clone(), from.clone())), "`{from}` and `{to}` import each other");
    }
}

#[test]
fn generated_code_names_only_our_private_module_and_core() {
    let expand =
        fs::read_to_string(repository().join("pool-macros/src/expand.rs")).expect("the macro's expansion");
    for (number, line) in code(&expand) {
        for (at, _) in
            line.match_indices(" ::").chain(line.match_indices("(::")).chain(line.match_indices("<::"))
        {
            let path = &line[at + 1..];
            let known = ["::pool::__private", "::core::", "::std::", "::alloc::"];
            assert!(known.iter().any(|known| path.starts_with(known)), "expand.rs:{number}: {line}");
        }
    }
}

#[test]
fn unsafe_stands_only_in_the_files_that_the_architecture_lists() {
    let architecture = fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("the architecture");
    let section = architecture.split("## Files with unsafe").nth(1).expect("it lists them");
    let listed: BTreeSet<String> = section
        .split("\n## ")
        .next()
        .expect("a split has a first part")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .filter_map(|line| line.split(':').next())
        .map(|path| path.trim_matches('`').trim_start_matches("pool/src/").to_owned())
        .filter(|path| !path.contains('/') || !path.starts_with("tests/") && !path.starts_with("benches/"))
        .collect();
    let used: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(name, text)| !is_test_file(name) && code(text).any(|(_, line)| has_unsafe(line)))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(used, listed.into_iter().filter(|path| !path.contains("_tests")).collect());
}

fn has_unsafe(line: &str) -> bool {
    ["unsafe {", "unsafe fn", "unsafe impl", "#[unsafe("].iter().any(|word| line.contains(word))
}

#[test]
fn the_library_neither_prints_nor_panics_on_purpose() {
    let loud = ["println!", "print!", "dbg!", ".unwrap()", "todo!", "unimplemented!"];
    assert_eq!(outside(&[], &loud), [""; 0]);
    // The one documented panic: a result that is asked for twice.
    assert_eq!(outside(&["job/async_result.rs"], &["panic!("]), [""; 0]);
}

#[test]
fn nothing_names_a_file_in_shared_memory() {
    assert_eq!(outside(&[], &["/dev/shm", "shm_open"]), [""; 0]);
}
