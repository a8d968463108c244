//! `cargo xtask trace`: takes recordings out of console logs, and shows them (docs/trace.md).

use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::paths;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use trace::Names;
use trace::Reader;

/// How deep folders are searched.
const DEPTH: usize = 4;

/// `trace PATH [--text] [--into FOLDER]`.
pub fn trace(arguments: &[String]) -> Outcome<()> {
    let mut text = false;
    let mut into = paths::root().join("mediator/tests/traces");
    let mut path = None;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--text" => text = true,
            "--into" => match words.next() {
                Some(folder) => into = PathBuf::from(folder),
                None => return Err(Failure::new("--into needs a folder")),
            },
            other if path.is_none() && !other.starts_with('-') => path = Some(PathBuf::from(other)),
            other => return Err(Failure::new(format!("trace does not take {other}"))),
        }
    }
    let path =
        path.ok_or_else(|| Failure::new("trace needs a log, a folder of logs, or a trace"))?;
    if path
        .extension()
        .is_some_and(|extension| extension == "trace")
    {
        return show(&fs::read(&path).at("read", &path)?);
    }
    let mut logs = Vec::new();
    collect(&path, DEPTH, &mut logs)?;
    // The last whole dump under each name counts: a dump can be asked for again.
    let mut whole = BTreeMap::new();
    let mut broken = Vec::new();
    for log in &logs {
        let bytes = fs::read(log).at("read", log)?;
        for (label, dump) in trace::dumps(&String::from_utf8_lossy(&bytes)) {
            match dump {
                Ok(bytes) => drop(whole.insert(label, bytes)),
                Err(error) => broken.push(format!("{}: {label}: {error}", log.display())),
            }
        }
    }
    for complaint in &broken {
        println!("{complaint}");
    }
    if whole.is_empty() {
        let message = format!(
            "no whole trace in {} logs of {}",
            logs.len(),
            path.display()
        );
        return Err(Failure::new(message));
    }
    fs::create_dir_all(&into).at("create", &into)?;
    for (label, bytes) in whole {
        let file = into.join(file_name(&label)?);
        fs::write(&file, &bytes).at("write", &file)?;
        println!("{}: {} bytes", file.display(), bytes.len());
        if text {
            show(&bytes)?;
        }
    }
    Ok(())
}

/// A file of this name cannot lie elsewhere.
fn file_name(label: &str) -> Outcome<String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if label.is_empty() || label.starts_with('.') || !label.chars().all(plain) {
        return Err(Failure::new(format!("\"{label}\" is no name for a trace")));
    }
    Ok(format!("{label}.trace"))
}

/// The logs at a path, or below it.
fn collect(path: &Path, depth: usize, logs: &mut Vec<PathBuf>) -> Outcome<()> {
    if !path.is_dir() {
        logs.push(path.to_path_buf());
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).at("list", path)? {
        entries.push(entry.at("list", path)?.path());
    }
    entries.sort();
    for entry in entries {
        let log = entry
            .extension()
            .is_some_and(|extension| extension == "log");
        if log || entry.is_dir() && depth > 0 {
            collect(&entry, depth.saturating_sub(1), logs)?;
        }
    }
    Ok(())
}

/// Every record as a line.
fn show(bytes: &[u8]) -> Outcome<()> {
    let unreadable = |error| Failure::new(format!("the trace {error}"));
    let (header, records) = Reader::new(bytes).map_err(unreadable)?;
    let mut text = format!(
        "{}: {} MiB of GTT, clock {} ns\n",
        header.label, header.gtt_mib, header.start
    );
    let mut names = Names::default();
    for (index, record) in records.enumerate() {
        let record = record.map_err(unreadable)?;
        names.note(&record);
        text += &format!("{index:6} {}\n", names.line(&record));
    }
    // A reader that has seen enough closes the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_lead_out_of_the_folder() {
        assert_eq!(file_name("debian-6.12").expect("good"), "debian-6.12.trace");
        for label in ["", "../x", "a/b", ".hidden", "a b"] {
            assert!(file_name(label).is_err(), "{label}");
        }
    }
}
