//! Everything that can go wrong in the image is reported, and ends it with its own status.

#[expect(dead_code, reason = "faults need one kind of machine only")]
mod qemu;

use std::process::Command;

use qemu::{Machine, Run};

const PANIC: Option<i32> = Some(35);
const FAULT: Option<i32> = Some(37);
const OUT_OF_MEMORY: Option<i32> = Some(39);

fn scenario(word: &str) -> Run {
    Machine::new().boot(&format!("exit scenario={word}"))
}

/// The functions behind the addresses of a report's backtrace.
fn backtrace(run: &Run) -> String {
    let (_, rest) = run.log.split_once("backtrace").expect("a backtrace");
    let addresses = rest
        .lines()
        .skip(1)
        .map(str::trim)
        .take_while(|line| line.starts_with("0x"));
    let output = Command::new("addr2line")
        .args(["-fiCe", env!("CARGO_BIN_EXE_kernel")])
        .args(addresses)
        .output()
        .expect("addr2line cannot be run: install Debian's package binutils");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_write_to_nowhere_is_reported_with_address_registers_and_last_lines() {
    let run = scenario("fault");
    run.expect(
        FAULT,
        &[
            "FAULT page fault (#PF), vector 14, error code 0x2",
            "write to 0x7000000000: nothing is mapped there",
            "cr2 0000007000000000",
            "r15 ",
        ],
    );
    let (_, last) = run.log.split_once("last lines:").expect("the last lines");
    assert!(
        last.contains("info  scenario: scenario Fault"),
        "{}",
        run.log
    );
}

#[test]
fn the_backtrace_leads_back_to_the_entry() {
    let names = backtrace(&scenario("panic"));
    for name in ["scenario::run", "kernel_main"] {
        assert!(names.contains(name), "no {name} in\n{names}");
    }
}

#[test]
fn a_null_pointer_is_called_one() {
    scenario("null").expect(FAULT, &["write to 0x0: null pointer"]);
}

#[test]
fn running_off_the_stack_hits_its_guard_page() {
    let run = scenario("overflow");
    run.expect(
        FAULT,
        &[
            "stack overflow: 0x",
            "is in the guard page under the boot stack",
        ],
    );
    assert!(backtrace(&run).contains("recurse"), "{}", run.log);
}

#[test]
fn code_cannot_be_written() {
    scenario("wx").expect(FAULT, &["write to 0x100000: mapped as Code only"]);
}

#[test]
fn data_cannot_be_executed() {
    scenario("nx").expect(FAULT, &["execution of 0x", "mapped as Data only"]);
}

#[test]
fn a_panic_says_where_and_why() {
    scenario("panic").expect(PANIC, &["PANIC at kernel/src/scenario.rs:", "asked for by"]);
}

#[test]
fn a_full_heap_is_reported_with_its_numbers() {
    let texts = [
        "memory allocation of 1048576 bytes failed",
        "1048576 bytes refused",
    ];
    scenario("memory").expect(OUT_OF_MEMORY, &texts);
}
