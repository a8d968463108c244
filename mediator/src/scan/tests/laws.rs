//! Totality: any dwords get a verdict, in no more steps than there are dwords.

use super::*;
use gpu::spec::commands::COMMANDS;
use proptest::prelude::*;

const PRIVILEGES: [Privilege; 5] = [
    Privilege::Ring,
    Privilege::Privileged,
    Privilege::Unprivileged,
    Privilege::IndirectContext,
    Privilege::PerContext,
];

/// Commands with random operands, so that a scan gets further than one random dword does.
fn command() -> impl Strategy<Value = Vec<u32>> {
    let row = 0..COMMANDS.len();
    let random = prop::collection::vec(any::<u32>(), 20);
    let inside = prop::collection::vec((0..0x80_0000u32).prop_map(|at| LOW + at), 20);
    (row, any::<u32>(), prop_oneof![random, inside]).prop_map(|(row, flags, operands)| {
        let row = &COMMANDS[row];
        let header = row.opcode | flags & !row.mask & 0xffff_ff0f;
        let mut command = vec![header];
        command.extend(
            operands
                .iter()
                .cycle()
                .take(row.dwords(header).min(300) as usize - 1),
        );
        command
    })
}

/// Steps one scan takes, by the one-command entry.
fn steps(engine: Engine, privilege: Privilege, dwords: &[u32]) -> (usize, Result<(), Violation>) {
    let mut found = Found {
        most: 16,
        ..Found::default()
    };
    let (mut steps, mut position) = (0, 0);
    let limits = LIMITS.at_level(1);
    while let Some(rest) = dwords.get(position..).filter(|rest| !rest.is_empty()) {
        steps += 1;
        match step(engine, privilege, rest, position, &limits, &mut found) {
            Ok(step) if step.ends => return (steps, Ok(())),
            Ok(step) => position += step.dwords,
            Err(violation) => return (steps, Err(violation)),
        }
    }
    (steps, Ok(()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_dwords_have_a_verdict_within_as_many_steps(
        dwords in prop::collection::vec(any::<u32>(), 0..200),
    ) {
        for engine in Engine::ALL {
            for privilege in PRIVILEGES {
                let _ = found(engine, privilege, &dwords);
                prop_assert!(steps(engine, privilege, &dwords).0 <= dwords.len());
            }
        }
    }

    #[test]
    fn any_commands_have_a_verdict_and_violations_point_at_their_command(
        commands in prop::collection::vec(command(), 1..30),
        cut in 0..40usize,
    ) {
        let mut dwords = commands.concat();
        dwords.truncate(dwords.len().saturating_sub(cut));
        for engine in Engine::ALL {
            for privilege in PRIVILEGES {
                let (result, found) = found(engine, privilege, &dwords);
                match result {
                    Ok(()) => prop_assert!(found.end.is_some_and(|end| end <= dwords.len())),
                    Err(violation) => {
                        prop_assert!(violation.position <= dwords.len());
                        let header = dwords.get(violation.position).copied().unwrap_or(0);
                        prop_assert_eq!(violation.header, header);
                        prop_assert!(!violation.to_string().is_empty());
                    }
                }
                for batch in &found.batches {
                    prop_assert!(batch.position + 3 <= dwords.len());
                    prop_assert!((1..=2).contains(&batch.level));
                }
                for store in &found.stores {
                    prop_assert!(store.offset <= 4096 - 8);
                }
            }
        }
    }

    /// Whatever passes, no global address of it lies outside, seen without the audit's help.
    #[test]
    fn what_passes_stores_only_into_the_slice(
        address: u32, high in 0..2u32, qword: bool, inside: bool,
    ) {
        let address = if inside { LOW + address % 0x20_0010 } else { address } & !3;
        let length = 2 + u32::from(qword);
        let mut ring = vec![0x1040_0000 | u32::from(qword) << 21 | length, address, high, 0];
        ring.resize(length as usize + 2, 0);
        let passes = found(Engine::Rcs, Privilege::Ring, &ring).0.is_ok();
        let bytes = if qword { 8 } else { 4 };
        let mine = |byte: u64| {
            (0x10_0000..0x30_0000).contains(&byte) || (0x2000_0000..0x2040_0000).contains(&byte)
        };
        let start = u64::from(high) << 32 | u64::from(address);
        prop_assert_eq!(passes, (start..start + bytes).all(mine));
    }
}
