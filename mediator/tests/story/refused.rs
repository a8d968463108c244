//! What a guest must not do hurts the context that does it, and nobody else.

use gpu::spec::context;
use gpu::spec::engine::{self, Engine};

use crate::bystander::Bystander;
use crate::driver::{
    BATCH_END, Context, Driver, Machine, batch, clean, load_register, machine, settle, store,
};

/// Runs `offend` on a fresh context; sees the error, the reset, and that work goes on.
fn offence(
    name: &str,
    engine: Engine,
    offend: impl FnOnce(&mut Machine, &mut Driver, &mut Context) -> u64,
) {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut bystander = Bystander::new(&mut machine);
    let mut context = driver.context(&mut machine, engine, 2);
    let descriptor = offend(&mut machine, &mut driver, &mut context);
    bystander.work(&mut machine);
    driver.submit(&mut machine, engine, descriptor, 0);
    settle(&mut machine);
    bystander.done(&mut machine);

    let seen = driver.events(&mut machine, engine);
    assert_eq!(
        seen,
        [(0x1, (descriptor >> 32) as u32)],
        "{name}: it starts and never completes"
    );
    assert_eq!(
        driver.arrived(&mut machine, engine),
        0,
        "{name}: no breadcrumb"
    );
    let (bank, shift) = engine.interrupt_slot();
    let identity = machine.read(driver.domain, 0x44308 + 0x10 * bank as u32);
    assert_ne!(
        identity >> shift & engine::INTERRUPT_ERROR,
        0,
        "{name}: error interrupt"
    );
    let eir = machine.read(driver.domain, engine.base() + engine::EIR);
    assert_eq!(eir, 1, "{name}: instruction error");
    let counters = *machine.vgpu(driver.domain).counters();
    assert_eq!((counters.refused, counters.completions), (1, 0), "{name}");
    assert_eq!(machine.vgpu(bystander.driver.domain).counters().refused, 0);

    // Its reset is ordinary traffic; the next context of the same guest runs.
    bystander.work(&mut machine);
    driver.reset(&mut machine, engine);
    assert_eq!(machine.read(driver.domain, engine.base() + engine::EIR), 0);
    let mut good = driver.context(&mut machine, engine, 1);
    driver.request(&mut machine, &mut good, &[]);
    driver.submit(&mut machine, engine, good.descriptor(), 0);
    settle(&mut machine);
    driver.all_done(&mut machine, engine);
    bystander.done(&mut machine);
    clean(&machine);
}

/// Commands in the ring.
fn in_ring(name: &str, engine: Engine, commands: &[u32]) {
    offence(name, engine, |machine, driver, context| {
        driver.request(machine, context, commands);
        context.descriptor()
    });
}

/// Commands in a batch.
fn in_batch(name: &str, engine: Engine, global: bool, commands: &[u32]) {
    offence(name, engine, |machine, driver, context| {
        let (frame, in_global) = driver.allocate(machine, 1);
        let in_process = driver.map(machine, frame, 1);
        driver.store(
            machine,
            frame * 4096 + 8,
            &[commands, &[BATCH_END]].concat(),
        );
        let at = if global { in_global } else { in_process };
        driver.request(machine, context, &batch(global, at + 8));
        context.descriptor()
    });
}

/// Values in the image.
fn in_image(name: &str, engine: Engine, values: &[(usize, u32)]) {
    offence(name, engine, |machine, driver, context| {
        driver.request(machine, context, &[]);
        for (at, value) in values {
            driver.set(machine, context, *at, *value);
        }
        context.descriptor()
    });
}

/// Where no guest of these stories has anything: the end of the GTT.
const FOREIGN: u64 = 0x1fff_f000;

#[test]
fn commands_that_no_engine_knows() {
    for engine in Engine::ALL {
        in_ring("unknown command", engine, &[0x1f80_0000, 0]);
    }
    in_batch(
        "unknown command in a privileged batch",
        Engine::Rcs,
        true,
        &[0x1f80_0000],
    );
    in_batch(
        "unknown command in a user's blit",
        Engine::Bcs,
        false,
        &[0x1f80_0000],
    );
}

#[test]
fn registers_that_belong_to_the_host_or_to_others() {
    for engine in Engine::ALL {
        let base = engine.base();
        for register in [
            engine::HWS_PGA,
            engine::RING_MODE,
            engine::ELSP,
            engine::RING_IMR,
        ] {
            in_ring(
                "privileged register",
                engine,
                &load_register(base + register, 0),
            );
        }
        in_ring("GDRST", engine, &load_register(0x941c, 1));
    }
    let other = Engine::Vcs.base() + engine::GPR;
    in_ring(
        "another engine's register",
        Engine::Bcs,
        &load_register(other, 0),
    );
    let page = Engine::Bcs.base() + engine::HWS_PGA;
    in_batch(
        "privileged register, user batch",
        Engine::Bcs,
        false,
        &load_register(page, 0),
    );
    let mode = Engine::Rcs.base() + engine::RING_MODE;
    in_batch(
        "privileged register, privileged batch",
        Engine::Rcs,
        true,
        &load_register(mode, 0),
    );
}

#[test]
fn addresses_of_others() {
    for engine in Engine::ALL {
        in_ring("foreign store", engine, &store(true, FOREIGN, 1));
        in_ring("foreign batch", engine, &batch(true, FOREIGN));
        in_batch(
            "foreign store in a batch",
            engine,
            true,
            &store(true, FOREIGN, 1),
        );
    }
    let flush = [0x1300_0002 | 1 << 14, FOREIGN as u32 | 1 << 2, 0, 1];
    in_ring("foreign flush", Engine::Vecs, &flush);
    let control = [0x7a00_0004, 1 << 24 | 1 << 14, FOREIGN as u32, 0, 1, 0];
    in_ring("foreign pipe control", Engine::Rcs, &control);
    let own = 0x10_0000;
    in_batch(
        "global address, user batch",
        Engine::Bcs,
        false,
        &store(true, own, 1),
    );
}

#[test]
fn rings_and_images_that_are_not_the_guests() {
    use context::{INDIRECT_CONTEXT, PDP0_UDW, PER_CONTEXT_BATCH, RING_CTL, RING_START, RING_TAIL};
    for engine in [Engine::Rcs, Engine::Bcs] {
        in_image("ring elsewhere", engine, &[(RING_START, FOREIGN as u32)]);
        in_image("ring that ends elsewhere", engine, &[(RING_CTL, 0x1f_f001)]);
        in_image("tail outside the ring", engine, &[(RING_TAIL, 0x1f_fff8)]);
        in_image("root in no RAM", engine, &[(PDP0_UDW, 0x7f)]);
        in_image(
            "indirect context elsewhere",
            engine,
            &[(INDIRECT_CONTEXT, FOREIGN as u32 | 1)],
        );
        in_image(
            "context batch elsewhere",
            engine,
            &[(PER_CONTEXT_BATCH, FOREIGN as u32 | 1)],
        );
        in_image(
            "a pair that loads GFX_MODE",
            engine,
            &[(0x22, engine.base() + 0x29c)],
        );
        offence("image elsewhere", engine, |_, _, context| {
            context.descriptor() & !0xffff_f000 | FOREIGN
        });
        offence(
            "image at an absent entry",
            engine,
            |machine, driver, context| {
                driver.request(machine, context, &[]);
                machine.write_gtt(driver.domain, (context.image / 4096) as u32 + 1, 0);
                context.descriptor()
            },
        );
        offence("no PPGTT", engine, |machine, driver, context| {
            driver.request(machine, context, &[]);
            context.descriptor() & !(1 << 8)
        });
    }
}

#[test]
fn pipeline_state_behind_the_register_lists_is_judged_as_commands() {
    // No end of the list and no inhibit: hardware would go on into the rest of the image.
    let restore = [(context::CONTEXT_CONTROL, 0x9_0008)];
    let page = Engine::Rcs.base() + engine::HWS_PGA;
    let load = [(0xab, 0x1100_0001), (0xac, page), (0xad, 0)];
    in_image(
        "state that loads HWS_PGA",
        Engine::Rcs,
        &[&restore[..], &load].concat(),
    );
    in_image(
        "state that is none",
        Engine::Rcs,
        &[restore[0], (0x1ff, 0x1f80_0000)],
    );
    // The last dword of the lists may begin a command that reaches into the rest.
    let across = [(0xaa, 0x1100_0001), (0xab, page), (0xac, 0)];
    in_image(
        "state across the lists' end",
        Engine::Rcs,
        &[&restore[..], &across].concat(),
    );
    offence(
        "state on a later page",
        Engine::Rcs,
        |machine, driver, context| {
            driver.request(machine, context, &[]);
            driver.set(machine, context, restore[0].0, restore[0].1);
            driver.store(
                machine,
                (context.image_frame + 7) * 4096,
                &load_register(page, 0),
            );
            context.descriptor()
        },
    );

    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Rcs, 1);
    driver.request(&mut machine, &mut context, &[]);
    driver.set(&mut machine, &context, restore[0].0, restore[0].1);
    let gpr = Engine::Rcs.base() + engine::GPR;
    driver.store(&mut machine, context.value_at(0xab), &load_register(gpr, 5));
    driver.submit(&mut machine, Engine::Rcs, context.descriptor(), 0);
    settle(&mut machine);
    driver.all_done(&mut machine, Engine::Rcs);
    clean(&machine);
}

#[test]
fn batches_without_an_end_or_larger_than_can_be_audited() {
    offence(
        "batch into nowhere",
        Engine::Bcs,
        |machine, driver, context| {
            let frame = driver.frames(1);
            let at = driver.map(machine, frame, 1);
            driver.request(machine, context, &batch(false, at));
            context.descriptor()
        },
    );
    offence(
        "more than can be audited",
        Engine::Bcs,
        |machine, driver, context| {
            // One dword more than the large arena has.
            let dwords = (4 << 20 | 192 << 10) / 4 + 1;
            let at = driver.noops(machine, 1, dwords, &[BATCH_END]);
            driver.request(machine, context, &batch(false, at));
            context.descriptor()
        },
    );
    offence(
        "a jump into an operand",
        Engine::Bcs,
        |machine, driver, context| {
            let frame = driver.frames(1);
            let at = driver.map(machine, frame, 1);
            // The store's value is a command of its own when jumped to.
            let hidden = load_register(0x941c, 1);
            let first = store(false, at, hidden[0]);
            let commands = [&first[..], &hidden[1..], &batch(false, at + 12)].concat();
            driver.store(machine, frame * 4096, &commands);
            driver.request(machine, context, &batch(false, at));
            context.descriptor()
        },
    );
}

#[test]
fn a_breadcrumb_before_the_offence_does_not_arrive_either() {
    // The whole piece is judged before any of it runs.
    offence("late offence", Engine::Bcs, |machine, driver, context| {
        driver.request(machine, context, &[]);
        driver.emit(machine, context, &[0x1f80_0000]);
        context.descriptor()
    });
}

#[test]
fn registers_of_a_ring_that_cannot_be_told_when_it_is_copied() {
    let base = Engine::Vcs.base();
    let store = |header, register| [header, register, 0, 0];
    let [head, start] = [engine::RING_HEAD, engine::RING_START].map(|register| base + register);
    in_ring("HEAD", Engine::Vcs, &store(0x1200_0002, head));
    in_ring("START, predicated", Engine::Vcs, &store(0x1220_0002, start));
    let foreign = Engine::Bcs.base() + engine::RING_START;
    in_ring("START of BCS", Engine::Vcs, &store(0x1200_0002, foreign));
    let outside = [0x1240_0002, start, 0xffff_f000, 0];
    in_ring("START to another's memory", Engine::Vcs, &outside);
    // A store of a constant takes this bit for "at the address of this core".
    let odd = [0x1200_0002, start, 1, 0];
    in_ring("START to an odd address", Engine::Vcs, &odd);
    let load = [0x1480_0002, start, 0, 0];
    in_ring("START, loaded", Engine::Vcs, &load);
    in_batch(
        "START in a batch",
        Engine::Bcs,
        false,
        &[0x1200_0002, Engine::Bcs.base() + engine::RING_START, 0, 0],
    );
}
