//! `gpuctl create`: a guest has its vGPU before its firmware runs.
//!
//! hvmloader sizes and places the BARs when the guest starts, so the vGPU must be there by then:
//! create paused, attach, unpause. When a step fails, what an earlier one made is taken back.

use std::fs;

use crate::attach::Session;
use crate::domains;
use crate::error::{Error, Result};
use crate::sizes::Sizes;

/// Creates the guest of `config` with a vGPU; its number.
pub fn create(session: &mut Session, config: &str, sizes: &Sizes, xl: &[String]) -> Result<u32> {
    let wrong = |why: String| Error::Config {
        path: config.into(),
        why,
    };
    let text = fs::read_to_string(config).map_err(|error| wrong(error.to_string()))?;
    let name = guest_name(&text, xl)
        .ok_or_else(|| wrong("no line name=\"…\": gpuctl finds the guest by it".into()))?;
    session.wait_ready()?;
    if let Ok(taken) = domains::find(session.store, &name) {
        return Err(wrong(format!("name=\"{name}\" is taken by d{taken}")));
    }

    session.toolstack.create_paused(config, xl)?;
    let guest = domains::find_guest(session.store, &name)
        .map_err(|error| undo_by_name(session, &name, error))?;
    let attached = session.attach(guest, sizes);
    if let Err(error) = attached.and_then(|()| session.toolstack.unpause(guest)) {
        return Err(undo(session, guest, error));
    }
    Ok(guest)
}

/// Destroys the guest that could not be completed; the first error stays the answer.
fn undo(session: &mut Session, guest: u32, error: Error) -> Error {
    match session.toolstack.destroy(guest) {
        Ok(()) => eprintln!("gpuctl: d{guest} was created and is destroyed again"),
        Err(left) => eprintln!("gpuctl: d{guest} stays behind, paused: {left}"),
    }
    error
}

fn undo_by_name(session: &mut Session, name: &str, error: Error) -> Error {
    match domains::find(session.store, name) {
        Ok(guest) => undo(session, guest, error),
        Err(_) => error,
    }
}

/// The value of the last `name = "…"`, the one xl takes: the file's lines, then xl's arguments.
fn guest_name(text: &str, more: &[String]) -> Option<String> {
    text.lines()
        .chain(more.iter().map(String::as_str))
        .filter_map(named)
        .next_back()
}

fn named(line: &str) -> Option<String> {
    let value = line
        .trim_start()
        .strip_prefix("name")?
        .trim_start()
        .strip_prefix('=')?;
    let value = value.trim_start();
    let quote = value
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))?;
    let (name, _) = value.strip_prefix(quote)?.split_once(quote)?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_name_is_the_one_xl_will_use() {
        let text = "# name=\"no\"\n type=\"hvm\"\nname = 'first'\nname=\"h1\" # the guest\n";
        assert_eq!(guest_name(text, &[]).as_deref(), Some("h1"));
        assert_eq!(
            guest_name(text, &["name=\"h2\"".into()]).as_deref(),
            Some("h2")
        );
        for none in ["", "names=\"x\"", "name", "name=x", "name=\"\"", "name=\"x"] {
            assert_eq!(guest_name(none, &[]), None, "{none}");
        }
    }
}
