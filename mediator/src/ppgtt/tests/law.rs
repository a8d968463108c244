//! The law: after any history a resynchronised shadow is what the guest's tables say.

use super::*;

#[derive(Debug, Clone)]
enum Act {
    /// Table, index, entry; bytes of it that are written, from which.
    Write(u64, u64, u64, std::ops::Range<usize>),
    Resync(u64, u8),
    Hold(usize, u64),
    LetGo(usize),
    Forget(u64),
    /// Another page at a frame, with the contents of a third.
    Replace(u64, u64),
    Refuse(bool),
}

/// Indices that are used: few, so that loops, aliases and changes of role are the rule.
const INDICES: [u64; 5] = [0, 1, 16, 17, 511];

fn act() -> impl Strategy<Value = Act> {
    let flags = prop::sample::select(vec![0u64, 1, 3, 3, 3, 0x83, 0x803, 0x883]);
    let bytes = prop::sample::select(vec![0..8, 0..8, 0..8, 0..4, 4..8, 1..4, 5..6]);
    let index = prop::sample::select(INDICES.to_vec());
    // Mostly tables, so that there are trees.
    let frame = prop_oneof![3 => 1u64..8, 1 => 0..FRAMES + 2];
    prop_oneof![
        8 => (1u64..8, index, frame, flags, bytes)
            .prop_map(|(table, index, frame, flags, bytes)| {
                Act::Write(table, index, frame << 12 | flags, bytes)
            }),
        6 => (1u64..4, 1u8..7).prop_map(|(root, often)| Act::Resync(root, often)),
        1 => (0usize..4, 1u64..4).prop_map(|(engine, root)| Act::Hold(engine, root)),
        1 => (0usize..4).prop_map(Act::LetGo),
        1 => (1u64..4).prop_map(Act::Forget),
        1 => (1u64..20, 1u64..8).prop_map(|(frame, other)| Act::Replace(frame, other)),
        1 => any::<bool>().prop_map(Act::Refuse),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn after_a_resync_the_shadow_is_what_the_guests_tables_say(
        acts in prop::collection::vec(act(), 1..100),
        pages in prop::collection::vec(0usize..625, 20),
    ) {
        let mut setting = Setting::new();
        for act in acts {
            match act {
                Act::Write(table, index, entry, bytes) => {
                    let at = (table << 12) | (index * 8) | bytes.start as u64;
                    setting.store(at, &entry.to_le_bytes()[bytes]);
                }
                Act::Resync(frame, often) => {
                    let mut root = setting.resync(frame).expect("no quota");
                    for _ in 1..often {
                        root = setting.resync(frame).expect("no quota");
                    }
                    for page in &pages {
                        let index = |digit: u32| INDICES[page / 5usize.pow(digit) % 5];
                        let address = index(0) << 39 | index(1) << 30 | index(2) << 21 | index(3) << 12;
                        setting.agrees(root, frame, address);
                    }
                }
                Act::Hold(engine, frame) => {
                    let root = setting.resync(frame).expect("no quota");
                    setting.space.hold(Engine::ALL[engine], root);
                }
                Act::LetGo(engine) => setting.space.let_go(Engine::ALL[engine]),
                Act::Forget(frame) => {
                    setting.with(|space, hands| space.forget(hands, GuestFrame(frame)));
                }
                Act::Replace(frame, other) => {
                    let mut contents = [0; 4096];
                    let from = setting.machine.frames[other as usize];
                    setting.machine.ram.read(from.at(0), &mut contents).expect("RAM");
                    setting.machine.replace(frame, &contents);
                }
                Act::Refuse(refuse) => setting.machine.protects = !refuse,
            }
        }
        setting.ends_clean();
    }
}
