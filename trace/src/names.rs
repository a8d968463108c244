//! Records for people: where an access goes, by the names of the register table.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use gpu::spec::registers::{GTT_BASE, REGISTER_SPACE, REGISTERS, find};
use mediator::{Access, DomainId, Space, Window};

use crate::{Record, Repeat};

/// Where guests have their windows, as far as the records so far told.
#[derive(Debug, Clone, Default)]
pub struct Names {
    windows: Vec<(DomainId, Window, u64, u64)>,
}

impl Names {
    /// Takes notice of a record.
    pub fn note(&mut self, record: &Record) {
        if let Record::Window {
            domain,
            window,
            range,
        } = *record
        {
            self.windows
                .retain(|known| (known.0, known.1) != (domain, window));
            if let Some((first, size)) = range {
                self.windows.push((domain, window, first, size));
            }
        }
    }

    /// Where an access goes.
    pub fn place(&self, domain: DomainId, space: Space) -> String {
        let address = match space {
            Space::Config(offset) => return format!("config {offset:#x}"),
            Space::Memory(address) => address,
        };
        let found = self
            .windows
            .iter()
            .find_map(|(owner, window, first, size)| {
                let offset = address.checked_sub(*first)?;
                (*owner == domain && offset < *size).then_some((*window, offset))
            });
        match found {
            None => format!("memory {address:#x}"),
            Some((Window::Aperture, offset)) => format!("aperture {offset:#x}"),
            Some((Window::Registers, offset)) if offset < REGISTER_SPACE.into() => {
                let offset = offset as u32;
                format!("{offset:#x} {}", register(offset))
            }
            Some((Window::Registers, offset)) => match offset.checked_sub(GTT_BASE.into()) {
                Some(inside) => format!("GTT entry {:#x}", inside / 8),
                None => format!("BAR0 {offset:#x}"),
            },
        }
    }

    /// A record as one line.
    pub fn line(&self, record: &Record) -> String {
        match *record {
            Record::Access {
                domain,
                access,
                answer,
                repeat,
            } => self.access(domain, access, answer, repeat),
            Record::Time(now) => format!("  clock {now} ns"),
            Record::Memory {
                domain,
                frame,
                first,
                count,
                value,
                step,
            } => {
                let last = first.wrapping_add(count).wrapping_sub(1);
                let more = match (count, step) {
                    (1, _) => String::new(),
                    (_, 0) => format!("-{last:#05x}"),
                    _ => format!("-{last:#05x} step {step:#x}"),
                };
                format!("  {domain} frame {frame:#x} qword {first:#05x}{more}: {value:#018x}")
            }
            Record::Outcome {
                domain,
                request,
                result,
            } => match result {
                Ok(()) => format!("  {domain} {request:x?}: granted again"),
                Err(error) => format!("  {domain} {request:x?}: {error}"),
            },
            Record::Generation { domain, generation } => {
                format!("  {domain} generation {generation}")
            }
            Record::Message {
                domain,
                address,
                data,
            } => format!("  {domain} message {data:#x} to {address:#x}"),
            Record::Window {
                domain,
                window,
                range,
            } => match range {
                Some((first, size)) => format!("  {domain} {window:?} at {first:#x}+{size:#x}"),
                None => format!("  {domain} {window:?} off"),
            },
            Record::Added {
                domain,
                config,
                accepted,
            } => format!(
                "{domain} attach {}+{} MiB, {} fences, weight {}: {accepted}",
                config.low_mib, config.high_mib, config.fences, config.weight
            ),
            Record::Settled(domain) => format!("{domain} access settled"),
            Record::Removed(domain) => format!("{domain} detach"),
            Record::Service { busy } => if busy { "service: busy" } else { "service" }.to_string(),
            Record::Page {
                domain,
                frame,
                hash,
            } => format!("  {domain} frame {frame:#x} ends as {hash:#010x}"),
            Record::End { complete } => if complete { "end" } else { "full" }.to_string(),
        }
    }

    fn access(&self, domain: DomainId, access: Access, answer: u64, repeat: Repeat) -> String {
        let place = self.place(domain, access.space);
        let verb = if access.write.is_some() {
            "write"
        } else {
            "read"
        };
        let value = access.write.unwrap_or(answer);
        let mut line = format!("{domain} {verb} {} {place} = {value:#x}", access.size);
        if repeat.count > 1 {
            let (last, _) = repeat.element(access, answer, repeat.count - 1);
            let last = self.place(domain, last.space);
            line += &format!(" x {}", repeat.count);
            if repeat.address != 0 {
                line += &format!(" .. {last}");
            }
            if repeat.value != 0 {
                line += &format!(" step {:#x}", repeat.value);
            }
        }
        line
    }
}

/// A register's name, with its number if there are several.
fn register(offset: u32) -> String {
    let slot = find(offset & !3);
    let row = slot.and_then(|slot| Some((slot, REGISTERS.get(usize::from(slot.row))?)));
    match row {
        None => "(no row)".to_string(),
        Some((_, row)) if row.count == 1 => row.name.to_string(),
        Some((slot, row)) => format!("{}[{}]", row.name, slot.element),
    }
}
