//! Laws of the command table, and the page that documents it.

use super::table::{COMMANDS, find};
use super::*;
use proptest::prelude::*;
use std::fmt::Write;

#[test]
fn every_row_is_found_by_its_own_opcode_on_exactly_its_engines() {
    for row in &COMMANDS {
        assert_eq!(row.opcode & !row.mask, 0, "{}", row.name);
        for engine in Engine::ALL {
            // Whatever the bits are that do not identify it.
            for header in [
                row.opcode,
                row.opcode | !row.mask,
                row.opcode | 0x5555_5555 & !row.mask,
            ] {
                let found = find(engine, header).is_some_and(|found| core::ptr::eq(found, row));
                let expected = row.engines.contains(engine);
                assert_eq!(found, expected, "{} ({header:#010x}) on {engine}", row.name);
            }
        }
    }
}

#[test]
fn rows_of_one_engine_do_not_overlap() {
    for (index, one) in COMMANDS.iter().enumerate() {
        for two in &COMMANDS[index + 1..] {
            let both = one.mask & two.mask;
            let overlap = one.opcode & both == two.opcode & both;
            let share = one.engines.0 & two.engines.0 != 0;
            assert!(!(overlap && share), "{} and {}", one.name, two.name);
        }
    }
}

#[test]
fn every_length_is_at_least_one_and_some_length_fits() {
    for row in &COMMANDS {
        let field = match row.length {
            Length::Fixed(_) => 0,
            Length::Field { bits, bias } => {
                assert!(bits < 32 && bias >= 1, "{}", row.name);
                (1u32 << bits) - 1
            }
        };
        assert!(row.dwords(row.opcode) >= 1, "{}", row.name);
        assert_eq!(
            field & row.mask,
            0,
            "{}: the length is part of the opcode",
            row.name
        );
        let fits = (0..=field).any(|length| row.fits(row.dwords(row.opcode | length)));
        assert!(fits, "{}", row.name);
    }
}

#[test]
fn every_operand_lies_within_the_shortest_command() {
    for row in &COMMANDS {
        let last = |dword: u8| assert!(dword < row.shortest, "{} dword {dword}", row.name);
        let checked = row
            .addresses
            .iter()
            .filter(|field| field.extent != Extent::Bytes(0));
        for field in checked {
            last(field.dword + 1);
            match field.space {
                AddressSpace::Ppgtt => {}
                AddressSpace::GlobalIfSet(dword, _) | AddressSpace::PpgttIfSet(dword, _) => {
                    last(dword);
                }
            }
            [field.when, field.index]
                .into_iter()
                .flatten()
                .for_each(|bits| last(bits.dword));
        }
        row.rules.iter().for_each(|rule| last(rule.bits.dword));
        if let Verdict::Registers { first, step } = row.verdict {
            last(first);
            if matches!(row.register_use, RegisterUse::Immediate | RegisterUse::Move) {
                last(first + 1);
            }
            assert!(step <= 2, "{}", row.name);
        }
        if let Some(bits) = row.post_sync {
            last(bits.dword);
            // Register, upper half, value.
            last(4);
        }
    }
}

#[test]
fn only_the_streamer_and_pipe_control_can_name_the_global_gtt_or_a_register() {
    for row in &COMMANDS {
        let global = row
            .addresses
            .iter()
            .any(|field| field.space != AddressSpace::Ppgtt);
        let registers = matches!(row.verdict, Verdict::Registers { .. }) || row.post_sync.is_some();
        if global || registers {
            assert!(
                row.opcode >> 29 == 0 || row.name == "PIPE_CONTROL",
                "{}",
                row.name
            );
        }
    }
}

#[test]
fn an_address_has_48_bits_without_its_flags() {
    let row = find(Engine::Bcs, 0x1300_4002).unwrap();
    let field = row.addresses[0];
    let command = [0x1300_4002, 0xffff_fffc, 0xdead_beef, 0];
    assert!(field.space.global(&command));
    assert_eq!(field.address(&command), Some(0xbeef_ffff_fff8));
    assert_eq!(field.address(&command[..2]), None);
}

#[test]
fn extents_follow_the_header_and_the_length() {
    assert_eq!(Extent::Immediate(3).bytes(0, 4), 4);
    assert_eq!(Extent::Immediate(3).bytes(0, 5), 8);
    assert_eq!(
        Extent::Immediate(3).bytes(1 << 21, 4),
        8,
        "a qword whatever its length says"
    );
    assert_eq!(
        [0u32, 1, 2].map(|size| Extent::Atomic.bytes(size << 19, 3)),
        [4, 8, 16]
    );
}

#[test]
fn plain_commands_name_nothing_that_needs_a_look() {
    let plain: Vec<_> = COMMANDS
        .iter()
        .filter(|row| Shape::of(row, 0).plain())
        .collect();
    assert!(plain.len() > 200);
    for row in plain {
        assert_eq!(row.verdict, Verdict::Allow, "{}", row.name);
        assert!(
            row.rules.is_empty() && row.post_sync.is_none(),
            "{}",
            row.name
        );
        let ppgtt = row
            .addresses
            .iter()
            .all(|field| field.space == AddressSpace::Ppgtt);
        assert!(ppgtt, "{}", row.name);
    }
}

proptest! {
    #[test]
    fn a_shape_measures_like_its_row(row in 0..COMMANDS.len(), flags: u32) {
        let row = &COMMANDS[row];
        let header = row.opcode | flags & !row.mask;
        for engine in Engine::ALL.into_iter().filter(|engine| row.engines.contains(*engine)) {
            let shape = shape(engine, header);
            prop_assert!(shape.known_to(engine));
            prop_assert_eq!(shape.dwords(header), row.dwords(header));
            prop_assert_eq!(shape.fits(row.dwords(header)), row.fits(row.dwords(header)));
        }
    }
}

proptest! {
    #[test]
    fn any_header_has_a_length_or_no_row(header: u32) {
        for engine in Engine::ALL {
            if let Some(row) = find(engine, header) {
                prop_assert_eq!(header & row.mask, row.opcode);
                prop_assert!(row.dwords(header) >= 1);
            }
        }
    }
}

/// The page as it should be.
fn page() -> String {
    let mut page = String::from(include_str!("page.md"));
    let families = [
        ("Memory interface (MI)", 0, None),
        ("Blitter (BCS)", 2, None),
        ("3D, media and compute (RCS)", 3, Some(Engine::Rcs)),
        ("Video decode and encode (VCS)", 3, Some(Engine::Vcs)),
        ("Video enhancement (VECS)", 3, Some(Engine::Vecs)),
    ];
    for (title, client, engine) in families {
        let rows: Vec<_> = COMMANDS
            .iter()
            .filter(|row| row.opcode >> 29 == client)
            .filter(|row| engine.is_none_or(|engine| row.engines.contains(engine)))
            .collect();
        writeln!(page, "\n## {title}: {}\n", rows.len()).unwrap();
        page.push_str("| command | header | engines | dwords | audited |\n|---|---|---|---|---|\n");
        for row in rows {
            let engines: Vec<_> = Engine::ALL
                .into_iter()
                .filter(|engine| row.engines.contains(*engine))
                .map(|engine| engine.to_string())
                .collect();
            let engines = if engines.len() == 4 {
                "all".into()
            } else {
                engines.join(" ")
            };
            writeln!(
                page,
                "| {} | {:#010x} | {engines} | {} | {} |",
                row.name,
                row.opcode,
                dwords(row),
                audited(row)
            )
            .unwrap();
        }
    }
    page
}

fn dwords(row: &Command) -> String {
    match (row.length, row.longest) {
        (Length::Fixed(dwords), _) => dwords.to_string(),
        (_, Some(longest)) if longest == row.shortest => longest.to_string(),
        (_, Some(longest)) => format!("{} to {longest}", row.shortest),
        (Length::Field { bits, .. }, None) => format!("{} or more, {bits} bits", row.shortest),
    }
}

fn audited(row: &Command) -> String {
    let mut parts = Vec::new();
    match row.verdict {
        Verdict::Refuse(why) => return format!("**refused**: {why}"),
        Verdict::Registers { .. } => parts.push(match row.register_use {
            RegisterUse::Read => "reads a register".into(),
            RegisterUse::Write => "writes a register".into(),
            RegisterUse::Immediate => "loads registers".into(),
            RegisterUse::Move => "moves a register".into(),
        }),
        Verdict::Batch => parts.push("starts a batch".into()),
        Verdict::End => parts.push("ends a batch".into()),
        Verdict::StatusPage(_) => parts.push("the context's own page only".into()),
        Verdict::Allow => {}
    }
    for field in row
        .addresses
        .iter()
        .filter(|field| field.extent != Extent::Bytes(0))
    {
        let bytes = match field.extent {
            Extent::Bytes(bytes) => format!("{bytes} bytes"),
            Extent::Immediate(_) => "its data".into(),
            Extent::Atomic => "4, 8 or 16 bytes".into(),
        };
        parts.push(format!("global GTT at dword {}, {bytes}", field.dword));
        if field.index.is_some() {
            parts.push("status page index".into());
        }
    }
    if row.post_sync.is_some() {
        parts.push("or loads a register".into());
    }
    for rule in row.rules {
        parts.push(format!("refused if it {}", rule.why));
    }
    parts.join("; ")
}

#[test]
fn the_documentation_lists_the_table_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
    let page = page();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/commands.md is out of date: run this test with BLESS=1"
    );
}
