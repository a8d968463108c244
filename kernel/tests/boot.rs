//! The image boots as a PVH guest of plain QEMU, on every machine type that can.

mod qemu;

use qemu::{DONE, Machine};

/// Out of memory, or too little of it.
const OUT_OF_MEMORY: Option<i32> = Some(39);

#[test]
fn it_boots_in_32_mib_and_leaves_when_asked() {
    let run = Machine::new().boot("exit");
    run.expect(
        DONE,
        &[
            "start_info version 1",
            "TSC at ",
            "resources: ",
            " page frames free, heap ",
        ],
    );
    assert!(
        !run.log.contains("warn") && !run.log.contains("error"),
        "{}",
        run.log
    );
}

/// What `run-qemu.sh` does with the image of the dev profile, which needs the most stack.
#[test]
fn two_loopback_guests_draw_and_it_leaves_when_they_are_done() {
    let run = Machine::new().boot("loopback=2 exit");
    run.expect(DONE, &["first access served", "resources: "]);
}

#[test]
fn it_boots_on_the_older_pc_and_on_microvm() {
    for machine in ["pc", "microvm,isa-serial=on"] {
        let run = Machine::new().machine(machine).boot("exit");
        run.expect(DONE, &["TSC at ", "resources: "]);
        assert!(
            !run.log.contains("assumed"),
            "the clock has a source on {machine}: {}",
            run.log
        );
    }
}

#[test]
fn ram_above_4_gib_is_used_and_windows_lie_above_it() {
    let run = Machine::new().memory("5G").boot("exit");
    run.expect(DONE, &["windows from 0x1c0000000"]);
    let total = run
        .log
        .split(" page frames free")
        .next()
        .and_then(|log| log.rsplit(' ').next());
    let total: u64 = total
        .and_then(|total| total.parse().ok())
        .expect("a number of frames");
    assert!(
        total * 4096 > (4 << 30) + (900 << 20),
        "{total} page frames of 5 GiB"
    );
}

#[test]
fn too_little_memory_is_said_with_the_numbers() {
    let run = Machine::new().memory("6M").boot("exit");
    run.expect(
        OUT_OF_MEMORY,
        &[
            "cannot start: too little memory: ",
            "at least 8192 KiB needed",
        ],
    );
}

#[test]
fn words_that_mean_nothing_are_reported_and_the_rest_counts() {
    let run = Machine::new().boot("exit frobnicate gtt=5 log=debug");
    run.expect(
        DONE,
        &[
            "warn  start: command line: \"frobnicate\": unknown word, ignored",
            "\"gtt=5\": ignored, expected 512, 1024, 2048 or 4096 (MiB)",
        ],
    );
}

#[test]
fn without_com1_it_speaks_at_port_e9() {
    Machine::new()
        .port_e9_only()
        .boot("exit")
        .expect(DONE, &["console: port 0xe9\n", "resources: "]);
}

#[test]
fn a_sink_that_is_not_wanted_stays_silent() {
    let run = Machine::new().port_e9_only().boot("exit console=serial");
    assert_eq!((run.status, run.log.as_str()), (DONE, ""));
}

#[test]
fn without_any_console_it_still_runs() {
    assert_eq!(Machine::new().mute().boot("exit").status, DONE);
}

#[test]
fn the_shell_answers_and_reboots() {
    let run = Machine::new()
        .typed("help\rlog debug\rnonsense\rreboot\r")
        .boot("");
    // With -no-reboot, QEMU ends with status 0 when the guest resets the machine.
    run.expect(
        Some(0),
        &[
            "start the machine anew",
            "log: debug",
            "nonsense: no such command",
            "rebooting",
        ],
    );
}

#[test]
fn interrupt_stacks_keep_red_zones_and_vector_registers_whole() {
    let run = Machine::new().boot("exit scenario=selftest");
    run.expect(DONE, &["interrupt stack true", " 0 of 20 probes corrupted"]);
}

#[test]
fn no_segment_of_the_image_is_writable_and_executable() {
    let image = std::fs::read(env!("CARGO_BIN_EXE_kernel")).expect("cargo built it");
    let half = |at: usize| u16::from_le_bytes(image[at..at + 2].try_into().unwrap()) as usize;
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    let (table, size, count) = (long(32) as usize, half(54), half(56));
    let headers: Vec<_> = (0..count).map(|index| table + index * size).collect();
    const LOAD: u32 = 1;
    const NOTE: u32 = 4;
    let loads: Vec<_> = headers.iter().filter(|&&at| word(at) == LOAD).collect();
    assert_eq!(loads.len(), 3);
    for &at in loads {
        assert_ne!(word(at + 4) & 3, 3, "segment at {:#x}", long(at + 16));
        assert_eq!(
            long(at + 16),
            long(at + 24),
            "virtual and physical address are one"
        );
    }
    // QEMU rounds the note's name up to its alignment: with more than 4 it finds no entry.
    let note = headers
        .iter()
        .find(|&&at| word(at) == NOTE)
        .expect("a PVH note");
    assert_eq!(long(note + 48), 4);
}
