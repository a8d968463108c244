//! Commands as the table of the software GPU knows them: name, length, address space.

use gpu::spec::commands::{Verdict, find};
use gpu::spec::engine::Engine as Streamer;

use crate::commands::{Commands, Math};
use crate::engine::Engine;
use crate::picture::{Depth, Layout, Rectangle, Tiling};

fn streamer(engine: Engine) -> Streamer {
    match engine {
        Engine::Render => Streamer::Rcs,
        Engine::Blt => Streamer::Bcs,
        Engine::Bsd => Streamer::Vcs,
        Engine::Vebox => Streamer::Vecs,
    }
}

/// One command, or as many as `names`, of the lengths that their headers say.
fn check(engine: Engine, commands: Commands, names: &[&str]) {
    let mut at = 0;
    for name in names {
        let header = commands.0.get(at).copied().expect("one more command");
        let row = find(streamer(engine), header).expect("a known command");
        assert_eq!(row.name, *name);
        let dwords = row.dwords(header);
        assert!(row.fits(dwords), "{name} with {dwords} dwords");
        assert!(
            !matches!(row.verdict, Verdict::Refuse(_)),
            "{name} is refused"
        );
        at += dwords as usize;
    }
    assert_eq!(at, commands.0.len(), "{names:?}");
}

#[test]
fn every_engine_knows_the_common_commands() {
    let new = Commands::new;
    let at = 0x1234_5678_9ab0;
    for engine in Engine::ALL {
        let register = engine.general(3);
        check(engine, new().store(at, 1), &["MI_STORE_DATA_IMM"]);
        check(engine, new().store_wide(at, 1), &["MI_STORE_DATA_IMM"]);
        check(engine, new().store_by_index(8, 1), &["MI_STORE_DATA_INDEX"]);
        check(
            engine,
            new().load(&[(register, 1); 9]),
            &["MI_LOAD_REGISTER_IMM"],
        );
        check(engine, new().save(register, at), &["MI_STORE_REGISTER_MEM"]);
        check(
            engine,
            new().save_if(register, at),
            &["MI_STORE_REGISTER_MEM"],
        );
        check(engine, new().fetch(register, at), &["MI_LOAD_REGISTER_MEM"]);
        check(
            engine,
            new().move_register(register, register),
            &["MI_LOAD_REGISTER_REG"],
        );
        check(engine, new().copy(at, at), &["MI_COPY_MEM_MEM"]);
        check(
            engine,
            new().math(&[Math::Add, Math::Store(0)]),
            &["MI_MATH"],
        );
        check(engine, new().atomic_add(at, 1), &["MI_ATOMIC"]);
        check(engine, new().jump(at), &["MI_BATCH_BUFFER_START"]);
        check(engine, new().call(at), &["MI_BATCH_BUFFER_START"]);
        check(
            engine,
            new().end_unless_greater(at, 1),
            &["MI_CONDITIONAL_BATCH_BUFFER_END"],
        );
        check(engine, new().noops(2), &["MI_NOOP", "MI_NOOP"]);
        check(engine, new().end(), &["MI_BATCH_BUFFER_END"]);
        let flush = match engine {
            Engine::Render => "PIPE_CONTROL",
            _ => "MI_FLUSH_DW",
        };
        check(engine, new().flush_and_store(engine, at, 1), &[flush]);
    }
    check(Engine::Render, new().predicate_equal(), &["MI_PREDICATE"]);
}

#[test]
fn the_blitter_knows_its_commands_in_every_layout() {
    let at = Rectangle {
        left: 1,
        top: 2,
        width: 3,
        height: 4,
    };
    for depth in Depth::ALL {
        for to in Tiling::ALL {
            let target = Layout::new((40, 40), depth, to);
            let fill = Commands::new().fill(1 << 40, &target, at, 5);
            check(Engine::Blt, fill, &["XY_COLOR_BLT"]);
            for from in Tiling::ALL {
                let source = Layout::new((40, 40), depth, from);
                let copies = Commands::new()
                    .tile_modes(to, from)
                    .copy_rectangle((1 << 40, &target), at, (1 << 41, &source), (0, 0))
                    .fast_copy((1 << 40, &target), at, (1 << 41, &source), (0, 0));
                let names = [
                    "MI_LOAD_REGISTER_IMM",
                    "XY_SRC_COPY_BLT",
                    "XY_FAST_COPY_BLT",
                ];
                check(Engine::Blt, copies, &names);
            }
        }
    }
}

/// As i915 writes them (`gt/intel_gpu_commands.h`).
#[test]
fn headers_are_those_of_the_driver() {
    let header = |commands: Commands| commands.0.first().copied();
    let new = Commands::new;
    for (commands, want) in [
        (new().store(0, 0), 0x1000_0002),
        (new().load(&[(0, 0)]), 0x1100_0001),
        (new().save(0, 0), 0x1200_0002),
        (new().flush_and_store(Engine::Blt, 0, 0), 0x1300_4003),
        (new().fetch(0, 0), 0x1480_0002),
        (new().move_register(0, 0), 0x1500_0001),
        (new().flush_and_store(Engine::Render, 0, 0), 0x7a00_0004),
        (new().jump(0), 0x1880_0101),
        (new().end(), 0x0500_0000),
    ] {
        assert_eq!(header(commands), Some(want), "{want:#x}");
    }
}
